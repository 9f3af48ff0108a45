package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) schedulerGetCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "get-config", usage: "show the scheduler's configuration",
		help:    "It is kept for the tools of the compatible system. Nothing is scheduled here, so it has no effect.",
		example: "operator scheduler get-config",
		flags:   outputFlags(),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.SchedulerConfiguration(ctx, nil)
		if err != nil {
			return fmt.Errorf("read scheduler configuration: %w", err)
		}
		return v.result(res, func(w io.Writer) { v.pairs(w, schedulerPairs(res.SchedulerConfig)) })
	})
}

func schedulerPairs(c *structs.SchedulerConfiguration) [][2]string {
	if c == nil {
		c = &structs.SchedulerConfiguration{}
	}
	p := c.PreemptionConfig
	return [][2]string{
		{"Scheduler Algorithm", orNone(c.SchedulerAlgorithm)},
		{"Memory Oversubscription", strconv.FormatBool(c.MemoryOversubscriptionEnabled)},
		{"Reject Job Registration", strconv.FormatBool(c.RejectJobRegistration)},
		{"Pause Eval Broker", strconv.FormatBool(c.PauseEvalBroker)},
		{"Preemption System Scheduler", strconv.FormatBool(p.SystemSchedulerEnabled)},
		{"Preemption Service Scheduler", strconv.FormatBool(p.ServiceSchedulerEnabled)},
		{"Preemption Batch Scheduler", strconv.FormatBool(p.BatchSchedulerEnabled)},
		{"Preemption SysBatch Scheduler", strconv.FormatBool(p.SysBatchSchedulerEnabled)},
		{"Modify Index", strconv.FormatUint(c.ModifyIndex, 10)},
	}
}
