package wire

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// archiveTypes are the record types of docs/wire.md §7.2; whoever knows that page alone refuses all others.
var archiveTypes = map[byte]string{
	0: "Node", 1: "Job", 2: "Index", 3: "Evaluation", 4: "Allocation", 5: "TimeTable", 6: "PeriodicLaunch", 7: "JobSummary", 8: "VaultAccessor",
	9: "JobVersion", 10: "Deployment", 11: "ACLPolicy", 12: "ACLToken", 13: "SchedulerConfig", 14: "ClusterMetadata", 15: "ServiceIdentityTokenAccessor",
	16: "ScalingPolicy", 17: "CSIPlugin", 18: "CSIVolume", 19: "ScalingEvents", 21: "ServiceRegistration", 22: "Variables", 23: "VariablesQuota",
	24: "RootKeyMeta", 25: "ACLRole", 26: "ACLAuthMethod", 27: "ACLBindingRule", 28: "NodePool", 29: "JobSubmission", 30: "RootKey", 31: "HostVolume",
	64: "Namespace",
}

// ArchiveMeta is meta.json (§7.1).
type ArchiveMeta struct {
	Version            int
	ID                 string
	Index, Term        uint64
	Peers              []byte
	Configuration      struct{ Servers []ArchiveServer }
	ConfigurationIndex uint64
	Size               int64
}

// ArchiveServer is one of the servers at the time of the snapshot.
type ArchiveServer struct {
	Suffrage    int
	ID, Address string
}

// ReadArchive reads a snapshot archive (§7.1) whole into memory and returns its records by the name of their type. What the page
// does not have is an error: members, fields of meta.json, record types.
func ReadArchive(r io.Reader) (*ArchiveMeta, map[string][]any, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, fmt.Errorf("read archive: %w", err)
	}
	members, names := map[string][]byte{}, []string{}
	tr := tar.NewReader(zr)
	for {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read archive: %w", err)
		}
		names = append(names, head.Name)
		if members[head.Name], err = io.ReadAll(tr); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", head.Name, err)
		}
	}
	if want := []string{"meta.json", "state.bin", "SHA256SUMS"}; !slices.Equal(names, want) {
		return nil, nil, fmt.Errorf("the archive has %q, want %q", names, want)
	}
	var sums []string
	for _, name := range names[:2] {
		sum := sha256.Sum256(members[name])
		sums = append(sums, hex.EncodeToString(sum[:])+"  "+name)
	}
	if got := strings.Split(strings.TrimSuffix(string(members["SHA256SUMS"]), "\n"), "\n"); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(sums))) {
		return nil, nil, fmt.Errorf("SHA256SUMS has %q, want %q", got, sums)
	}
	meta := new(ArchiveMeta)
	d := json.NewDecoder(bytes.NewReader(members["meta.json"]))
	d.DisallowUnknownFields()
	if err := d.Decode(meta); err != nil {
		return nil, nil, fmt.Errorf("read meta.json: %w", err)
	}
	if !bytes.HasSuffix(members["meta.json"], []byte("}\n")) || meta.Size != int64(len(members["state.bin"])) {
		return nil, nil, fmt.Errorf("meta.json is %q and the state has %d bytes", members["meta.json"], len(members["state.bin"]))
	}
	records, err := readRecords(bufio.NewReader(bytes.NewReader(members["state.bin"])))
	return meta, records, err
}

// readRecords reads state.bin (§7.2).
func readRecords(r *bufio.Reader) (map[string][]any, error) {
	if head, err := r.ReadByte(); err != nil || head != 0x80 {
		return nil, fmt.Errorf("state.bin begins with %#x, error %w; want an empty map", head, err)
	}
	records := map[string][]any{}
	for n := 1; ; n++ {
		t, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		name, ok := archiveTypes[t]
		if !ok {
			return nil, fmt.Errorf("record %d has type %d, which nobody else knows", n, t)
		}
		v, err := Read(r)
		if err != nil {
			return nil, fmt.Errorf("read record %d, a %s: %w", n, name, err)
		}
		records[name] = append(records[name], v)
	}
}
