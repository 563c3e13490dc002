# Makes a line that has the form of an invite, for tests. No broker would take it: its signature is 64 zero bytes.

variable "policy" {
  description = "What differs from an invite for three workers."
  type        = any
  default     = {}
}

locals {
  policy = merge({
    aud        = "swarm-broker/admission"
    jti        = "6d1ce81a2eadecf9d2a2dd5081cdc89d"
    iat        = 1795255200
    exp        = 1795258800
    iss        = "1edd90a7f6c58a8d9e8524e73946e672"
    pin        = "UPlWthD-IeTW3fE95Wl5SP3a62ID5yn9Gzf1TmlFyA8"
    generation = 1
    role       = "worker"
    uses       = 3
    labels     = { zone = "a", note = "ö?>~" }
    brokers    = ["10.0.0.11:7443", "[fd00::12]:7443"]
  }, var.policy)
  header = { alg = "ES256", typ = "swarm-invite+jwt", kid = "AAAAAAAAAAAAAAAAAAAAAA" }

  parts = [for part in [local.header, local.policy] : replace(replace(replace(base64encode(jsonencode(part)), "=", ""), "+", "-"), "/", "_")]
}

output "line" {
  value = "SWINV-1-${join(".", local.parts)}.${join("", [for at in range(86) : "A"])}"
}
