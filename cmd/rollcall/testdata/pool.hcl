node_pool "edge" {
  description       = "Boxes at the edge"
  node_identity_ttl = "12h"

  meta {
    site = "lisbon"
    rack = 7
  }
}
