package replay

import (
	"testing"

	"github.com/rollcall-id/rollcall/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
