package api

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"testing"
)

func TestMonitorReadsFrameAfterFrame(t *testing.T) {
	frame := func(s string) string { return `{"Data":"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"}` }
	c, got := serve(t, 200, "{}\n"+frame("one\ntw")+frame("o\n")+"\n{}\n"+`{"Error":{"Code":503,"Message":"agent is shutting down"}}`)
	log, err := c.Monitor(t.Context(), &MonitorOptions{LogLevel: "debug", NodeID: "n", JSON: true, Region: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if got.Line != "GET /v1/agent/monitor?log_include_location=false&log_json=true&log_level=debug&node_id=n&region=eu" {
		t.Errorf("asked %s", got.Line)
	}
	lines := bufio.NewReader(log)
	for _, want := range []string{"one\n", "two\n"} {
		if line, err := lines.ReadString('\n'); line != want || err != nil {
			t.Errorf("line %q, %v; want %q", line, err, want)
		}
	}
	var refusal *StatusError
	if _, err := lines.ReadByte(); !errors.As(err, &refusal) || refusal.Code != 503 {
		t.Errorf("the end: %v", err)
	}
}

func TestMonitorSaysWhatIsWrong(t *testing.T) {
	c, _ := serve(t, 404, "No path to node")
	var refusal *StatusError
	if _, err := c.Monitor(t.Context(), nil); !errors.As(err, &refusal) || refusal.Code != 404 {
		t.Errorf("a refusal: %v", err)
	}
	for name, body := range map[string]string{"a log that breaks off": `{"Data":"b25l"}{"Da`, "what is no JSON": "hello"} {
		c, _ := serve(t, 200, body)
		log, err := c.Monitor(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(log); err == nil {
			t.Errorf("%s ends well, after %q", name, b)
		}
		_ = log.Close()
	}
}
