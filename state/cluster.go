package state

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// ClusterMetadata returns what names the cluster, nil before the first leader has written it.
func (v view) ClusterMetadata(ws memdb.WatchSet) (*structs.ClusterMetadata, error) {
	return get[structs.ClusterMetadata](v.read(), ws, tableClusterMetadata, singletonKey)
}

// AutopilotConfig returns the configuration of autopilot, nil before the first leader has written it.
func (v view) AutopilotConfig(ws memdb.WatchSet) (*structs.AutopilotConfig, error) {
	return get[structs.AutopilotConfig](v.read(), ws, tableAutopilotConfig, singletonKey)
}

// SchedulerConfig returns the scheduler configuration, nil before the first leader has written it.
func (v view) SchedulerConfig(ws memdb.WatchSet) (*structs.SchedulerConfiguration, error) {
	return get[structs.SchedulerConfiguration](v.read(), ws, TableSchedulerConfig, singletonKey)
}

// SetClusterMetadata names the cluster, once (message type 32). Saying the same again changes nothing. The record
// has no indexes of its own, so neither the value's nor the table's is written.
func (t *Txn) SetClusterMetadata(_ uint64, m *structs.ClusterMetadata) error {
	if m == nil || m.ClusterID == "" {
		return errors.New("name cluster: request has no cluster ID")
	}
	old, err := get[structs.ClusterMetadata](t.txn, nil, tableClusterMetadata, singletonKey)
	if err != nil {
		return err
	}
	if old != nil {
		if old.ClusterID != m.ClusterID {
			return fmt.Errorf("name cluster: it has ID %s already and can't become %s", old.ClusterID, m.ClusterID)
		}
		return nil
	}
	c := *m
	return t.insert(tableClusterMetadata, &c)
}

// SetAutopilotConfig replaces the configuration of autopilot (message type 24).
func (t *Txn) SetAutopilotConfig(index uint64, cfg *structs.AutopilotConfig) error {
	old, err := get[structs.AutopilotConfig](t.txn, nil, tableAutopilotConfig, singletonKey)
	if err != nil {
		return err
	}
	return t.writeAutopilotConfig(index, old, cfg)
}

// CASAutopilotConfig replaces the configuration of autopilot if cfg.ModifyIndex is that of the stored one, and
// reports whether it did.
func (t *Txn) CASAutopilotConfig(index uint64, cfg *structs.AutopilotConfig) (bool, error) {
	old, err := get[structs.AutopilotConfig](t.txn, nil, tableAutopilotConfig, singletonKey)
	if err != nil || cfg == nil || old == nil || old.ModifyIndex != cfg.ModifyIndex {
		return false, err
	}
	err = t.writeAutopilotConfig(index, old, cfg)
	return err == nil, err
}

func (t *Txn) writeAutopilotConfig(index uint64, old, cfg *structs.AutopilotConfig) error {
	if cfg == nil {
		return errors.New("configure autopilot: request has no configuration")
	}
	c := *cfg
	c.CreateIndex, c.ModifyIndex = index, index
	if old != nil {
		c.CreateIndex = old.CreateIndex
	}
	return t.insert(tableAutopilotConfig, &c)
}

// SetSchedulerConfig replaces the scheduler configuration (message type 30).
func (t *Txn) SetSchedulerConfig(index uint64, cfg *structs.SchedulerConfiguration) error {
	old, err := get[structs.SchedulerConfiguration](t.txn, nil, TableSchedulerConfig, singletonKey)
	if err != nil {
		return err
	}
	return t.writeSchedulerConfig(index, old, cfg)
}

// CASSchedulerConfig replaces the scheduler configuration if cfg.ModifyIndex is that of the stored one, and
// reports whether it did.
func (t *Txn) CASSchedulerConfig(index uint64, cfg *structs.SchedulerConfiguration) (bool, error) {
	old, err := get[structs.SchedulerConfiguration](t.txn, nil, TableSchedulerConfig, singletonKey)
	if err != nil || cfg == nil || old == nil || old.ModifyIndex != cfg.ModifyIndex {
		return false, err
	}
	err = t.writeSchedulerConfig(index, old, cfg)
	return err == nil, err
}

func (t *Txn) writeSchedulerConfig(index uint64, old, cfg *structs.SchedulerConfiguration) error {
	if cfg == nil {
		return errors.New("configure scheduler: request has no configuration")
	}
	c := *cfg
	c.CreateIndex, c.ModifyIndex = index, index
	if old != nil {
		c.CreateIndex = old.CreateIndex
	}
	if err := t.insert(TableSchedulerConfig, &c); err != nil {
		return err
	}
	return t.touch(index, TableSchedulerConfig)
}
