# One of three servers that also runs a client, with every block that has a meaning here.
region     = "eu"
datacenter = "ber1"
name       = "srv-1"
data_dir   = "/var/lib/rollcall"
log_level  = "warn"
log_json   = true
bind_addr  = "10.1.0.11"

leave_on_interrupt = true
leave_on_terminate = false

ports {
  http = 5646
  rpc  = 5647
  serf = 5648
}

addresses {
  http = "127.0.0.1 10.1.0.11"
}

advertise {
  rpc  = "192.0.2.11"
  serf = "192.0.2.11:7648"
}

server {
  enabled          = true
  bootstrap_expect = 3
  encrypt          = "AAECAwQFBgcICQoLDA0ODw=="
  raft_multiplier  = 2

  server_join {
    retry_join     = ["10.1.0.12", "srv-3.example.net:7648", "[2001:db8::3]"]
    retry_interval = "15s"
  }

  raft_logstore {
    backend = "boltdb"
    boltdb {
      no_freelist_sync = false
    }
  }

  min_heartbeat_ttl         = "20s"
  max_heartbeats_per_second = 12.5
  heartbeat_grace           = "30s"
  failover_heartbeat_ttl    = "10m"
  signing_algorithm         = "EdDSA"
  oidc_issuer               = "https://id.example.net/fleet"

  client_introduction {
    enforcement          = "strict"
    default_identity_ttl = "10m"
    max_identity_ttl     = "1h"
  }
}

client {
  enabled    = true
  servers    = ["10.1.0.12", "10.1.0.13:5647"]
  node_pool  = "edge"
  node_class = "small"
  meta = {
    rack       = "r7"
    "unit.pos" = 12
  }
}

keyring "aead" {
  active   = true
  name     = "disk"
  kek_file = "/etc/rollcall.d/kek"
}

keyring "aead" {
}

acl {
  enabled          = false
  token_ttl        = "1m"
}

telemetry {
  prometheus_metrics  = true
  collection_interval = "5s"
  statsd_address      = "127.0.0.1:8125"
}

limits {
  rpc_max_conns_per_client = 0
  http_max_conns_per_client = 50
}

autopilot {
  cleanup_dead_servers = false
  min_quorum           = 3
}
