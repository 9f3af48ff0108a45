# One of three servers. The same file fits all three: what differs (name and
# addresses) is taken from the machine.
#
# Check a change before a restart: rollcall config validate /etc/rollcall

region     = "global"
datacenter = "dc1"
data_dir   = "/var/lib/rollcall"

# Listen everywhere, and tell the others the private address of this machine.
# The ports below are the defaults: open http to those who read the API, rpc to
# servers and nodes, serf (TCP and UDP) to servers only.
bind_addr = "0.0.0.0"

advertise {
  http = "{{ GetPrivateIP }}"
  rpc  = "{{ GetPrivateIP }}"
  serf = "{{ GetPrivateIP }}"
}

ports {
  http = 4646
  rpc  = 4647
  serf = 4648
}

server {
  enabled = true

  # The first election waits until three servers see each other.
  bootstrap_expect = 3

  # All three by name; a server skips itself, and keeps trying until it is in.
  server_join {
    retry_join     = ["rollcall-1.example.internal", "rollcall-2.example.internal", "rollcall-3.example.internal"]
    retry_interval = "10s"
  }

  # Encrypts gossip. Make it once with `rollcall operator gossip keyring generate`, use the same
  # on all servers, and keep it out of version control: any *.hcl file in this
  # folder is read, so it may live in one of its own.
  # encrypt = ""

  # The iss claim of every token, and the base of OIDC discovery. It must be the
  # URL under which verifiers reach the HTTP API.
  # oidc_issuer = "https://rollcall.example.internal"

  # A root key older than this is replaced; identities it signed stay valid.
  root_key_rotation_threshold = "720h"
}

# Root keys are wrapped by a key that stays out of the replicated state and of
# snapshots. All servers have the same one. Here it is a systemd credential, see
# rollcall-kek.conf; kek_file = "/etc/rollcall/kek" reads a file instead.
keyring "aead" {
  active         = true
  name           = "kek1"
  kek_credential = "rollcall-kek"
}

telemetry {
  prometheus_metrics = true
}

# TLS for RPC, with certificates of both sides whose names are checked. Make them
# with `rollcall tls ca create` and `rollcall tls cert create -server`; new files are
# loaded without a restart.
tls {
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/rollcall/tls/nomad-agent-ca.pem"
  cert_file              = "/etc/rollcall/tls/global-server-nomad.pem"
  key_file               = "/etc/rollcall/tls/global-server-nomad-key.pem"
}

# Keys and health for verifiers, who then need neither a certificate nor the API.
# public {
#   enabled   = true
#   port      = 4649
#   tls       = true
#   cert_file = "/etc/rollcall/tls/public.pem"
#   key_file  = "/etc/rollcall/tls/public-key.pem"
# }
