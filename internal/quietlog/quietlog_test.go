package quietlog

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestManyLinesBecomeFewAndACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(hclog.New(&hclog.LoggerOptions{Output: &out}), 2)
		for range 1000 {
			l.Warn("refused", "peer", "10.0.0.1")
		}
		if n := strings.Count(out.String(), "refused: peer=10.0.0.1\n"); n != 10 {
			t.Errorf("%d lines, want those of 5 seconds:\n%s", n, &out)
		}
		out.Reset()
		time.Sleep(time.Second)
		l.Warn("refused", "peer", "10.0.0.2")
		if !strings.Contains(out.String(), "refused: peer=10.0.0.2 others_not_logged=990\n") {
			t.Errorf("wrote %q", &out)
		}
		l.Warn("refused", "peer", "10.0.0.3")
		if !strings.HasSuffix(out.String(), "refused: peer=10.0.0.3\n") {
			t.Errorf("counted twice: %q", &out)
		}
	})
}
