// Command screenshot runs the demo and draws what it printed as a picture of a terminal, docs/demo.svg or the file given as
// argument. Run it in the module's folder: go run ./scripts/screenshot
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	path := "docs/demo.svg"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	if err := run(path); err != nil {
		fmt.Fprintln(os.Stderr, "Error: "+err.Error())
		os.Exit(1)
	}
}

func run(path string) error {
	var problem bytes.Buffer
	cmd := exec.Command("go", "run", "./e2e/demo")
	cmd.Env = append(os.Environ(), "ONCE=1", "CLICOLOR_FORCE=1")
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run the demo: %w\n%s%s", err, out, problem.Bytes())
	}
	if err := os.WriteFile(path, draw("make demo", string(out)), 0o644); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	fmt.Println("wrote " + path)
	return nil
}
