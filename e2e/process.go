package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Command says what to start.
type Command struct {
	Name string // in messages; its log is <Name>.log
	Path string
	Args []string
	Env  []string // besides the environment of this process; later entries win
	// Stdin and Stdout are given to the process if set; otherwise it reads nothing and writes to its log.
	Stdin, Stdout *os.File
}

// Group is a set of processes that end together. Make it with NewGroup and Close it in any case.
type Group struct {
	logDir string

	mu        sync.Mutex // guards the fields below
	processes []*Process
	closed    bool
}

// NewGroup returns an empty group whose processes log to files in logDir.
func NewGroup(logDir string) (*Group, error) {
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder for logs: %w", err)
	}
	return &Group{logDir: logDir}, nil
}

// Start starts a process. A process of the same name, restarted, goes on with the same log.
func (g *Group) Start(c Command) (*Process, error) {
	path := filepath.Join(g.logDir, c.Name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", c.Name, err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	cmd.SysProcAttr = attributes()

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, fmt.Errorf("start %s: everything is being stopped", c.Name)
	}
	if err := spawn(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	p := &Process{name: c.Name, logPath: path, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.waitErr = cmd.Wait()
	}()
	g.processes = append(g.processes, p)
	return p, nil
}

// Close kills what still runs and waits until all of it has ended. It may be called more than once, from any goroutine.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, p := range g.processes {
		_ = p.cmd.Process.Kill() // fails if it has ended, which is what is wanted
	}
	for _, p := range g.processes {
		<-p.done
	}
}

// Tails returns the last lines of every log, for a report of what went wrong.
func (g *Group) Tails(lines int) string {
	logs, _ := filepath.Glob(filepath.Join(g.logDir, "*.log")) // the pattern is well-formed
	var b strings.Builder
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(path), tail(text, lines))
	}
	return b.String()
}

// Process is a started program. Its methods are safe for concurrent use.
type Process struct {
	name    string
	logPath string
	cmd     *exec.Cmd
	done    chan struct{}
	waitErr error // set before done is closed
}

// PID is the process's ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended; one that is suspended runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// Kill ends the process at once, as a power cut would, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// Suspend halts the process where it is; Resume lets it go on.
func (p *Process) Suspend() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a suspended process go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Stop asks the process to end and waits until it has. An error if it does not end before ctx or with another code than 0.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := p.Exit(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ended with code %d\n%s", p.name, code, p.Tail(20))
	}
	return err
}

// Exit waits until the process has ended and returns its exit code; -1 if a signal ended it.
func (p *Process) Exit(ctx context.Context) (int, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("%s has not ended in time: %w\n%s", p.name, context.Cause(ctx), p.Tail(20))
	}
	if p.cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for %s: %w", p.name, p.waitErr)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Log returns everything that the process, and those of the same name before it, has written.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string { return tail([]byte(p.Log()), lines) }

func tail(text []byte, lines int) string {
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(len(all)-lines, 0):], []byte("\n")))
}

// Memory returns the resident memory in bytes. It needs Linux.
func (p *Process) Memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		value, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read memory of %s: %w", p.name, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("read memory of %s: the kernel does not tell", p.name)
}
