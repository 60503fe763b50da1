# What must hold of every log that this module makes. No cluster is needed: terraform init && terraform test
mock_provider "helm" {
  override_during = plan
}
mock_provider "kubernetes" {
  override_during = plan
}

variables {
  host         = "log.example.com"
  vkey         = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc"
  log_key      = "a private key"
  rekor_v1_key = "another private key"
  database_dsn = "log:secret@tcp(db)/log"
  register_dsn = "register:secret@tcp(db2)/register"
  image        = { registry = "registry.example.com", tag = "1.0" }
  from         = [{ namespaceSelector = {} }]
}

run "a_log" {
  command = plan
  assert {
    condition     = alltrue([for s in [kubernetes_secret_v1.keys, kubernetes_secret_v1.database, kubernetes_secret_v1.register] : s.data_wo == null && s.data_wo_revision == 1])
    error_message = "Secrets are write-only."
  }
  assert {
    condition     = kubernetes_namespace_v1.log.metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "Pods are restricted."
  }
  assert {
    condition = (yamldecode(helm_release.log.values[0]).server.keys.existingSecret == "log-keys" && yamldecode(helm_release.log.values[0]).server.mysql.existingSecret == "log-database"
    && yamldecode(helm_release.log.values[0]).server.register == { type = "mysql", mysql = { existingSecret = "log-register" } })
    error_message = "The register is in a second database, and secrets are named, not repeated."
  }
  assert {
    condition     = yamldecode(helm_release.log.values[0]).server.networkPolicy.enabled && length(yamldecode(helm_release.log.values[0]).server.networkPolicy.from) == 1
    error_message = "Only the peers named reach the log."
  }
  assert {
    condition     = yamldecode(helm_release.log.values[0]).server.httpRoute.readOnly && !yamldecode(helm_release.log.values[0]).server.httpRoute.enabled && helm_release.log.wait
    error_message = "Without a gateway there is no route; with one it is for reads, unless said otherwise."
  }
  assert {
    condition     = output.vkey == var.vkey && output.trusted_root == null
    error_message = "The vkey is known before the log is there."
  }
}

run "nobody_is_let_in" {
  command = plan
  variables {
    from = []
  }
  expect_failures = [var.from]
}

run "the_key_of_another_log" {
  command = plan
  variables {
    host = "other.example.com"
  }
  expect_failures = [var.vkey]
}
