package rpc

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerAbsentMethods() {
	handle(s, Spec{Name: "Absent.List", Blocking: true}, s.absentList)
}

// absentList answers as a list that is empty and stays so. It takes the same parameters as others, refuses the same
// mistakes, and holds a blocking query for its whole wait, or watchers of jobs would ask in a loop.
func (s *Server) absentList(c *Call, req *structs.GenericRequest, reply *structs.AbsentListResponse) error {
	return c.read(&req.QueryOptions, &reply.QueryMeta, func(_ memdb.WatchSet, st State) (uint64, error) {
		var err error
		reply.Items, err = page(&req.QueryOptions, &reply.QueryMeta, nothing[structs.Raw](),
			func(structs.Raw) string { return "" }, func(r structs.Raw) structs.Raw { return r })
		if err != nil {
			return 0, err
		}
		return tableIndex(st, "jobs")
	})
}

func nothing[T any]() iter.Seq[T] { return func(func(T) bool) {} }
