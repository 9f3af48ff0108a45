package config

// ignored names, by the block they stand in, the settings and blocks of the field's agent configuration that have no
// meaning here: they belong to scheduling, to integrations or to parts of the product this is not. They are accepted, so
// that an existing file loads, and each one is warned about.
var ignored = map[string]map[string]bool{
	"": set("audit", "common_plugin_dir", "consul", "disable_anonymous_signature", "disable_update_check",
		"enable_syslog", "eventlog", "http_api_response_headers", "log_file", "log_include_location", "log_rotate_bytes",
		"log_rotate_duration", "log_rotate_max_files", "plugin", "plugin_dir", "reporting", "rpc", "sentinel",
		"syslog_facility", "ui", "users", "vault"),
	"server": set("acl_token_gc_threshold", "batch_eval_gc_threshold", "csi_plugin_gc_threshold",
		"csi_volume_claim_gc_interval", "csi_volume_claim_gc_threshold", "default_scheduler_config",
		"deployment_gc_threshold", "deployment_query_rate_limit", "enabled_schedulers",
		"eval_gc_threshold", "job_default_priority", "job_gc_interval", "job_gc_threshold",
		"job_max_count", "job_max_priority", "job_max_source_size", "job_tracked_versions", "license_env", "license_path",
		"num_schedulers", "plan_rejection_tracker", "protocol_version", "raft_protocol", "redundancy_zone",
		"rejoin_after_leave", "search", "upgrade_version"),
	"server.raft_logstore": set("verification", "wal"),
	"client": set("alloc_dir", "alloc_mounts_dir", "artifact", "bridge_network_hairpin_mode", "bridge_network_name",
		"bridge_network_subnet", "bridge_network_subnet_ipv6", "cgroup_parent", "chroot_env", "cni_config_dir", "cni_path",
		"cpu_disable_dmidecode", "cpu_total_compute", "disable_remote_exec", "disk_free_mb", "disk_total_mb", "drain",
		"drain_on_shutdown", "fingerprint", "gc_disk_usage_threshold", "gc_inode_usage_threshold", "gc_interval",
		"gc_max_allocs", "gc_parallel_destroys", "gc_volumes_on_node_gc", "host_network", "host_volume",
		"host_volume_plugin_dir", "host_volumes_dir", "max_dynamic_port", "max_kill_timeout", "memory_total_mb",
		"min_dynamic_port", "network_interface", "network_speed", "no_host_uuid", "node_max_allocs",
		"nomad_service_discovery", "options", "preferred_address_family", "reserved", "template", "users"),
	"tls": set("tls_prefer_server_cipher_suites"),
	"telemetry": set("allowed_metadata_keys_in_metrics", "circonus_api_app", "circonus_api_token", "circonus_api_url",
		"circonus_broker_id", "circonus_broker_select_tag", "circonus_check_display_name",
		"circonus_check_force_metric_activation", "circonus_check_id", "circonus_check_instance_id",
		"circonus_check_search_tag", "circonus_check_tags", "circonus_submission_interval", "circonus_submission_url",
		"datadog_address", "datadog_tags", "disable_allocation_hook_metrics", "disable_dispatched_job_summary_metrics",
		"disable_quota_utilization_metrics", "disable_rpc_rate_metrics_labels", "filter_default",
		"include_alloc_metadata_in_metrics", "prefix_filter", "publish_allocation_metrics", "publish_node_metrics",
		"use_node_name"),
	"autopilot": set("disable_upgrade_migration", "enable_custom_upgrades", "enable_redundancy_zones"),
}

// older maps names kept for existing files to the ones they became.
var older = map[string]string{
	"server.retry_join":     "server.server_join.retry_join",
	"server.start_join":     "server.server_join.start_join",
	"server.retry_interval": "server.server_join.retry_interval",
	"server.retry_max":      "server.server_join.retry_max",
	"server.raft_boltdb":    "server.raft_logstore.boltdb",
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}
