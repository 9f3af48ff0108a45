bind_addr = "127.0.0.1"
log_level = "loud"

server {
  enabled          = true
  bootstrap_expect = 3
}
