package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/snapshotagent"
)

func (a *app) snapshotAgentCommand() *cli.Command {
	env := func(name string) cli.ValueSourceChain { return cli.EnvVars("ROLLCALL_SNAPSHOT_" + name) }
	text := func(name, variable, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Sources: env(variable), HideDefault: true}
	}
	return a.apiCommand(spec{
		name: "agent", usage: "take snapshots on a schedule",
		help: `Saves a snapshot, verifies it, stores it in a directory or an S3-compatible bucket, reads it back from there, and restores
it into memory; the counts and the digest of the state that came out are logged. Only then are older ones deleted, as far as
they exceed -retain. A step that fails is tried again, and a round that fails deletes nothing. Files that the agent did not
name are never touched. A restart does not take a snapshot early. SIGTERM stops it.

Credentials of S3 come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Flags can be given as
environment variables too.`,
		example: "operator snapshot agent -interval 1h -retain 48 -dir /var/backups/rollcall\n" +
			"  rollcall operator snapshot agent -s3-bucket backups -s3-region eu-west-1 -metrics-addr 127.0.0.1:9646",
		flags: outputFlags(
			&cli.DurationFlag{Name: "interval", Usage: "`TIME` between snapshots", Value: snapshotagent.DefaultInterval, Sources: env("INTERVAL")},
			&cli.IntFlag{Name: "retain", Usage: "keep `N` snapshots, -1 for all", Value: snapshotagent.DefaultRetain, Sources: env("RETAIN")},
			&cli.StringFlag{Name: "name", Usage: "begin the names of snapshots with `NAME`, another one for each cluster that is stored in one place", Value: snapshotagent.DefaultName, Sources: env("NAME")},
			text("dir", "DIR", "store in `DIR`"),
			text("s3-bucket", "S3_BUCKET", "store in `BUCKET`, which must exist"),
			text("s3-endpoint", "S3_ENDPOINT", "`URL` of the service (default "+snapshotagent.DefaultS3Endpoint+")"),
			text("s3-region", "S3_REGION", "`REGION` of the bucket (default AWS_REGION, or what the service says)"),
			text("s3-prefix", "S3_PREFIX", "`PREFIX` of the keys, a folder"),
			text("temp-dir", "TEMP_DIR", "`DIR` with room for two archives and one state, uncompressed"),
			boolFlag("stale", "take the state of the server asked, even if it is behind or there is no leader"),
			boolFlag("once", "take one snapshot and exit"),
			text("metrics-addr", "METRICS_ADDR", "show Prometheus metrics at http://`ADDRESS`/metrics"),
			text("log-level", "LOG_LEVEL", "`LEVEL`: trace, debug, info (default), warn, error or off"),
			boolFlag("log-json", "log in JSON"),
		),
	}, func(ctx context.Context, v *invocation) error {
		agent, stop, err := v.snapshotAgent()
		if err != nil {
			return err
		}
		defer stop()
		if v.Bool("once") {
			taken, err := agent.Once(ctx)
			if err != nil {
				return err
			}
			return v.done(taken, "Snapshot %s stored in %s: index %d, %d nodes, state digest %s", taken.Name, taken.Store, taken.Index,
				taken.Drill.Nodes, taken.Drill.StateDigest)
		}
		if addr := v.String("metrics-addr"); addr != "" {
			end, err := serveMetrics(addr, agent.Metrics())
			if err != nil {
				return err
			}
			defer end()
		}
		agent.Run(ctx)
		return nil
	})
}

// snapshotAgent builds the agent; stop gives back what it holds.
func (v *invocation) snapshotAgent() (agent *snapshotagent.Agent, stop func(), err error) {
	level := hclog.Info
	if text := v.String("log-level"); text != "" {
		if level = hclog.LevelFromString(text); level == hclog.NoLevel {
			return nil, nil, usagef(v.Command, "-log-level %q: want trace, debug, info, warn, error or off", text)
		}
	}
	if v.Int("retain") == 0 {
		return nil, nil, usagef(v.Command, "-retain 0 would keep none; want a number of snapshots, or -1 for all")
	}
	if v.Duration("interval") <= 0 {
		return nil, nil, usagef(v.Command, "-interval %s: want a time", v.Duration("interval"))
	}
	store, stop, err := v.snapshotStore()
	if err != nil {
		return nil, nil, err
	}
	agent, err = snapshotagent.New(snapshotagent.Config{
		Source: snapshotagent.FromServer(v.client, &api.QueryOptions{AllowStale: v.Bool("stale")}), Store: store,
		Interval: v.Duration("interval"), Retain: v.Int("retain"), Name: v.String("name"), TempDir: v.String("temp-dir"),
		Logger: hclog.New(&hclog.LoggerOptions{Name: "rollcall", Output: v.err, Level: level, JSONFormat: v.Bool("log-json")}),
	})
	if err != nil {
		stop()
		return nil, nil, usagef(v.Command, "%s", err)
	}
	return agent, stop, nil
}

func (v *invocation) snapshotStore() (snapshotagent.Store, func(), error) {
	dir, bucket := v.String("dir"), v.String("s3-bucket")
	if (dir == "") == (bucket == "") {
		return nil, nil, usagef(v.Command, "give one of -dir and -s3-bucket, where the snapshots are to be stored")
	}
	if dir != "" {
		store, err := snapshotagent.NewDir(dir)
		if err != nil {
			return nil, nil, err
		}
		return store, func() {}, nil
	}
	store, err := snapshotagent.NewS3(snapshotagent.S3Config{
		Endpoint: v.String("s3-endpoint"), Region: v.String("s3-region"), Bucket: bucket, Prefix: v.String("s3-prefix"),
	})
	if err != nil {
		return nil, nil, usagef(v.Command, "%s", err)
	}
	return store, store.Close, nil
}

// serveMetrics shows metrics until end is called.
func serveMetrics(addr string, metrics http.Handler) (end func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("show metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return func() {
		if err := srv.Close(); err == nil {
			<-done
		}
	}, nil
}
