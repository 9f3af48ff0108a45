# A node: it registers with the servers, heartbeats, and holds an identity that
# it renews by itself.
#
# Check a change before a restart: rollcall config validate /etc/rollcall

region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/rollcall"

# The HTTP API of the agent, for programs on this machine only.
bind_addr = "127.0.0.1"

client {
  enabled = true

  # Where to begin; the list of servers is kept up to date from their replies.
  servers = [
    "rollcall-1.example.internal:4647",
    "rollcall-2.example.internal:4647",
    "rollcall-3.example.internal:4647",
  ]

  # Pool, class and datacenter are claims of the identity. The pool decides how
  # long an identity is valid (rollcall node pool info default).
  node_pool  = "default"
  node_class = "general"

  meta {
    rack = "r1"
  }
}

# TLS for RPC, with certificates of both sides whose names are checked. Make them
# with `rollcall tls ca create` and `rollcall tls cert create -client`; new files are
# loaded without a restart.
tls {
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/rollcall/tls/nomad-agent-ca.pem"
  cert_file              = "/etc/rollcall/tls/global-client-nomad.pem"
  key_file               = "/etc/rollcall/tls/global-client-nomad-key.pem"
}
