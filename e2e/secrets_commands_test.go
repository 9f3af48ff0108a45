//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// commandLimit is how long a command may take; those that would go on for ever are interrupted after it.
const commandLimit = 30 * time.Second

// secretRuns are the command lines of the scenario, at least one for every command; "$name" stands for a variable, and what
// follows "<" is standard input. Secrets stand where they belong, and where people put them by mistake; a secret in the place of
// a node's or pool's name comes back to who typed it, as names do.
var secretRuns = map[string][]string{
	"agent":                              {"", "-dev -encrypt $gossip -bind 192.0.2.1", "-config $badconfig", "-data-dir /dev/null/x -server -encrypt short$gossip"},
	"node status":                        {"-verbose", "-json $node", "-stats $node"},
	"node drain":                         {"-disable $node"},
	"node eligibility":                   {"-enable $node"},
	"node config":                        {"-servers"},
	"node meta read":                     {"-node-id $node"},
	"node meta apply":                    {"-node-id $node rack=r2"},
	"node identity get":                  {"$node", "-json $node"},
	"node identity renew":                {"$node"},
	"node intro create":                  {"-ttl soon"},
	"node pool list":                     {"", "-json"},
	"node pool info":                     {"default"},
	"node pool nodes":                    {"default"},
	"node pool jobs":                     {"default"},
	"node pool apply":                    {"$badconfig", "-<$badpool"},
	"node pool delete":                   {"none"},
	"node pool init":                     {"$dir/pool.hcl"},
	"acl bootstrap":                      {"", "$tokenfile", "-<$bootstrap", "-<x$bootstrap"},
	"acl token create":                   {"-type wrong", "-ttl soon"},
	"acl token update":                   {"-name again $accessor"},
	"acl token delete":                   {"$acl", "$node"},
	"acl token info":                     {"$accessor", "-json $accessor", "$acl"},
	"acl token list":                     {"", "-json"},
	"acl token self":                     {"", "-json", "-token $acl", "-token wrong$acl"},
	"acl policy apply":                   {"broken -<$badpolicy", "broken $badconfig"},
	"acl policy delete":                  {"none"},
	"acl policy info":                    {"reader"},
	"acl policy list":                    {""},
	"acl policy self":                    {"", "-json"},
	"acl role create":                    {"-name viewer -policy reader"},
	"acl role update":                    {"-policy reader none"},
	"acl role delete":                    {"none"},
	"acl role info":                      {"none"},
	"acl role list":                      {""},
	"operator root keyring list":         {"-verbose", "-json"},
	"operator root keyring rotate":       {"", "-full"},
	"operator root keyring remove":       {"$node"},
	"operator root keyring status":       {"-verbose", "-json"},
	"operator root keyring rewrap":       {"-timeout 5s", "-to aead.none"},
	"operator root keyring kek generate": {"$dir/new-kek", "$kekfile"},
	"operator gossip keyring list":       {""},
	"operator gossip keyring install":    {"-<$gossip", "-<short$gossip", "x$gossip", "$gossip $gossip"},
	"operator gossip keyring use":        {"-<$gossip", "x$gossip"},
	"operator gossip keyring remove":     {"-<$gossip", "x$gossip"},
	"operator gossip keyring generate":   {""},
	"operator raft list-peers":           {"", "-json"},
	"operator raft remove-peer":          {"-peer-id none"},
	"operator raft transfer-leadership":  {"-peer-id none"},
	"operator raft info":                 {"$dir/server-1"},
	"operator raft logs":                 {"$dir/server-1"},
	"operator raft state":                {"$dir/server-1"},
	"operator raft replay":               {"$dir/server-1"},
	"operator snapshot save":             {"$dir/saved.snap"},
	"operator snapshot inspect":          {"$dir/first.snap", "-json $dir/first.snap", "$kekfile"},
	"operator snapshot verify":           {"$dir/first.snap", "$badconfig"},
	"operator snapshot state":            {"$dir/first.snap"},
	"operator snapshot diff":             {"$dir/first.snap $dir/first.snap"},
	"operator snapshot redact":           {"-out $dir/redacted.snap $dir/first.snap", "-out $dir/r2.snap $kekfile"},
	"operator snapshot convert":          {"-out $dir/converted.snap $dir/first.snap", "-out $dir/c2.snap $kekfile"},
	"operator snapshot restore":          {"$kekfile"},
	"operator snapshot agent":            {"-once -dir $dir/backups", "-once -log-level trace -s3-bucket b -s3-region r -s3-endpoint $s3", "-once -s3-bucket b -s3-endpoint http://u:$s3secret@host:bad"},
	"operator autopilot get-config":      {"", "-json"},
	"operator autopilot set-config":      {"-min-quorum=0"},
	"operator autopilot health":          {"", "-json"},
	"operator scheduler get-config":      {"", "-json"},
	"operator scheduler set-config":      {"-scheduler-algorithm spread"},
	"operator metrics":                   {"", "-json", "-format prometheus"},
	"operator debug":                     {"-duration 2s -interval 1s -log-level trace -output $dir/debug.tar.gz -node-id $node -agent-address $agent"},
	"operator api":                       {"/v1/agent/self", "/v1/nodes?token=$acl", "-H X-Nomad-Token:$acl /v1/acl/token/self", "-H X-Nomad-Token$acl /v1/agent/self", "http://u:$acl@host/"},
	"operator utilization":               {""},
	"server members":                     {"-verbose", "-json"},
	"server join":                        {"127.0.0.1:1"},
	"server force-leave":                 {"none"},
	"system gc":                          {""},
	"tls ca create":                      {"", "-domain other"},
	"tls ca info":                        {"$tls/nomad-agent-ca.pem", "$tls/nomad-agent-ca-key.pem"},
	"tls cert create":                    {"-server -ca $tls/nomad-agent-ca.pem -key $tls/global-server-nomad-key.pem", "-server -ca $tls/nomad-agent-ca-key.pem -key $badconfig"},
	"tls cert info":                      {"$tls/global-server-nomad.pem", "$tls/global-server-nomad-key.pem"},
	"status":                             {"", "$node"},
	"agent-info":                         {"", "-json"},
	"config validate":                    {"$config", "$badconfig", "$badkek"},
	"event stream":                       {"-index soon"},
	"monitor":                            {"-log-level loud"},
	"version":                            {"", "-json"},
	"completion bash":                    {""},
	"completion zsh":                     {""},
	"completion fish":                    {""},
	"completion pwsh":                    {""},
}

// manyArguments are commands to which no argument is one too many: what they can't use they name.
var manyArguments = []string{"config validate", "node meta apply", "server join"}

// runner runs commands and notes what they print.
type runner struct {
	*evidence
	dir  string            // where they run
	env  []string          // of those that work
	vars map[string]string // by name
}

// fill puts the variables in.
func (r *runner) fill(text string) string {
	return os.Expand(text, func(name string) string {
		value, ok := r.vars[name]
		if !ok {
			panic("no variable " + name)
		}
		return value
	})
}

// run runs one command line, notes what it prints and returns it.
func (r *runner) run(ctx context.Context, line string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	args, in, _ := strings.Cut(line, "<")
	cmd := exec.CommandContext(ctx, programs.rollcall)
	for arg := range strings.FieldsSeq(args) {
		cmd.Args = append(cmd.Args, r.fill(arg))
	}
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(r.fill(in)+"\n")
	cmd.Env = append(append(os.Environ(), r.env...), env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("after %s: %w", commandLimit, err)
	}
	r.note("output of "+line, out)
	return string(out), err
}

// mustRun is run of a command that has to succeed.
func (r *runner) mustRun(t *testing.T, ctx context.Context, line string, env ...string) string {
	t.Helper()
	out, err := r.run(ctx, line, env...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// runAll runs every line of the table, and every command with a flag and an argument too many, with a bad token, and where
// nothing listens.
func (r *runner) runAll(ctx context.Context) {
	type job struct{ line, env string }
	jobs := make(chan job)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for j := range jobs {
				_, _ = r.run(ctx, j.line, j.env) // most of them fail, which is what they are for
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(secretRuns)) {
		for _, line := range secretRuns[name] {
			jobs <- job{name + " " + line, "_="}
		}
		line := name + " " + secretRuns[name][0]
		args, in, _ := strings.Cut(line, "<")
		jobs <- job{line, "ROLLCALL_ADDR=http://127.0.0.1:1"}
		jobs <- job{line, "ROLLCALL_TOKEN=" + r.fill("x$acl")}
		jobs <- job{args + " -tokn=$acl<" + in, "_="}
		if !slices.Contains(manyArguments, name) {
			jobs <- job{args + " $acl $secret $acl<" + in, "_="}
		}
	}
	close(jobs)
	work.Wait()
}

// TestEveryCommandIsAmongThoseSearchedForSecrets asks the program for its commands.
func TestEveryCommandIsAmongThoseSearchedForSecrets(t *testing.T) {
	ctx, _ := scenario(t)
	got := commandsBelow(t, ctx)
	want := slices.Sorted(maps.Keys(secretRuns))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the commands are not those of the table (-want +got):\n%s", diff)
	}
}

// commandsBelow are the names of all commands that run something, from what help says.
func commandsBelow(t *testing.T, ctx context.Context, path ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(ctx, programs.rollcall, append(slices.Clone(path), "--help")...).Output()
	must(t, err)
	_, list, found := strings.Cut(string(out), "\nCOMMANDS:\n")
	if !found {
		return []string{strings.Join(path, " ")}
	}
	var names []string
	for line := range strings.Lines(list) {
		if strings.TrimSpace(line) == "" {
			break
		}
		name := strings.TrimSuffix(strings.Fields(line)[0], ",")
		if name != "help" {
			names = append(names, commandsBelow(t, ctx, append(slices.Clone(path), name)...)...)
		}
	}
	return names
}
