package httpapi

import (
	"net/http"
	"strconv"

	"github.com/rollcall-id/rollcall/structs"
)

func listKeys(c *call) (any, error) {
	var out structs.KeyringListResponse
	if err := c.read("Keyring.List", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.Keys), nil
}

// rotateKey: full counts when the parameter is there at all, as in the compatible API.
func rotateKey(c *call) (any, error) {
	args := &structs.KeyringRotateRequest{
		Algorithm: c.query.Get("algo"), Full: c.query.Has("full"), WriteRequest: c.writeRequest(),
	}
	if s := c.query.Get("publish_time"); s != "" {
		t, err := strconv.ParseInt(s, 10, 64)
		if err != nil || t < 0 {
			return nil, badRequest("Invalid publish_time: want Unix nanoseconds")
		}
		args.PublishTime = t
	}
	if args.Full && args.PublishTime != 0 {
		return nil, badRequest("full and publish_time can't be combined: a key that is published later can't re-encrypt now")
	}
	var out structs.KeyringRotateResponse
	if err := c.call("Keyring.Rotate", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}

func deleteKey(c *call) (any, error) {
	force, err := c.flag("force")
	if err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "%s", err)
	}
	args := &structs.KeyringDeleteRequest{KeyID: c.params["id"], Force: force, WriteRequest: c.writeRequest()}
	var out structs.GenericResponse
	if err := c.call("Keyring.Delete", args, &out); err != nil {
		return nil, err
	}
	c.setIndex(out.Index)
	return &out, nil
}
