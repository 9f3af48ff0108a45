package httpapi

import "net/http"

// Servers of the compatible product tell which workers they schedule jobs with. Here there are none, and none can be set.

type schedulers struct {
	ServerID   string     `json:"server_id"`
	Schedulers []struct{} `json:"schedulers"`
}

type schedulerWorkers struct {
	ServerID          string   `json:"server_id"`
	NumSchedulers     int      `json:"num_schedulers"`
	EnabledSchedulers []string `json:"enabled_schedulers"`
}

func listSchedulers(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	return schedulers{ServerID: c.server.LocalMember().Tags["id"], Schedulers: []struct{}{}}, nil
}

func getSchedulerWorkers(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	return schedulerWorkers{ServerID: c.server.LocalMember().Tags["id"], EnabledSchedulers: []string{}}, nil
}

func setSchedulerWorkers(c *call) (any, error) {
	if err := c.needServer(); err != nil {
		return nil, err
	}
	var in schedulerWorkers
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.NumSchedulers < 0 {
		return nil, badRequest("Invalid request")
	}
	return nil, fail(http.StatusNotImplemented, "scheduler workers are not part of Rollcall, which gives identities to nodes and runs nothing on them")
}
