package host

import (
	"slices"
	"testing"
)

func TestMountPoints(t *testing.T) {
	got := mountPoints("proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /my\\040data xfs rw 0 0\nodd\n")
	if want := []string{"/", "/my data"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if d := disks()["/"]; d.DiskMB <= 0 || d.UsedMB < 0 || d.UsedMB > d.DiskMB {
		t.Errorf("the root has %+v", d)
	}
}
