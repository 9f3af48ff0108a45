package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) schedulerSetCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "set-config", usage: "change the scheduler's configuration",
		help: "What is not given stays as it is. If somebody else changes it in between, nothing is written. It is kept for the\n" +
			"tools of the compatible system and has no effect here.",
		example: "operator scheduler set-config -scheduler-algorithm spread",
		flags: outputFlags(
			&cli.Uint64Flag{Name: "check-index", Usage: "write only if the stored configuration has this modify `INDEX`", HideDefault: true},
			stringFlag("scheduler-algorithm", "`NAME`: binpack or spread"),
			boolFlag("memory-oversubscription", "allow memory oversubscription (=false to forbid it)"),
			boolFlag("reject-job-registration", "refuse new jobs"), boolFlag("pause-eval-broker", "hold evaluations back"),
			boolFlag("preempt-system-scheduler", "let system jobs take the place of others"),
			boolFlag("preempt-service-scheduler", "the same of service jobs"), boolFlag("preempt-batch-scheduler", "the same of batch jobs"),
			boolFlag("preempt-sysbatch-scheduler", "the same of system batch jobs"),
		),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.SchedulerConfiguration(ctx, nil)
		if err != nil {
			return fmt.Errorf("read scheduler configuration: %w", err)
		}
		c := res.SchedulerConfig
		if c == nil {
			c = structs.DefaultSchedulerConfiguration()
		}
		if !v.changeScheduler(c) {
			return usagef(v.Command, "give at least one setting")
		}
		if err := c.Validate(); err != nil {
			return usagef(v.Command, "%s", err)
		}
		if v.IsSet("check-index") {
			c.ModifyIndex = v.Uint64("check-index")
		}
		updated, err := v.client.SetSchedulerConfiguration(ctx, c, nil)
		if err != nil {
			return fmt.Errorf("write scheduler configuration: %w", err)
		}
		if !updated {
			return fmt.Errorf("write scheduler configuration: %w: the stored one is no longer that of index %d; try again",
				structs.ErrConflict, c.ModifyIndex)
		}
		return v.done(c, "Scheduler configuration updated!")
	})
}

// changeScheduler puts the flags that were given into c and tells whether there were any.
func (v *invocation) changeScheduler(c *structs.SchedulerConfiguration) bool {
	given := false
	if v.IsSet("scheduler-algorithm") {
		c.SchedulerAlgorithm, given = v.String("scheduler-algorithm"), true
	}
	for name, value := range map[string]*bool{
		"memory-oversubscription": &c.MemoryOversubscriptionEnabled, "reject-job-registration": &c.RejectJobRegistration,
		"pause-eval-broker":          &c.PauseEvalBroker,
		"preempt-system-scheduler":   &c.PreemptionConfig.SystemSchedulerEnabled,
		"preempt-service-scheduler":  &c.PreemptionConfig.ServiceSchedulerEnabled,
		"preempt-batch-scheduler":    &c.PreemptionConfig.BatchSchedulerEnabled,
		"preempt-sysbatch-scheduler": &c.PreemptionConfig.SysBatchSchedulerEnabled,
	} {
		if v.IsSet(name) {
			*value, given = v.Bool(name), true
		}
	}
	return given
}
