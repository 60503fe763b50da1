# The public key of a vkey is taken apart in HCL. The rest is what is made of the answers of a server.
variables {
  vkey        = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc"
  url         = "https://log.example.com"
  initialized = false
}

run "before_the_log_is_there" {
  command = apply
  assert {
    condition     = output.vkey == var.vkey && output.trusted_root == null
    error_message = "The vkey is known before the log is there, and the trusted root is not."
  }
}

run "the_server_agrees" {
  command = apply
  variables {
    initialized = true
  }
  override_data {
    target = data.http.vkey[0]
    values = { status_code = 200, response_body = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc\nlog.example.com+11111111+Bmldsa\n" }
  }
  override_data {
    target = data.http.trusted_root[0]
    values = {
      status_code   = 200
      response_body = "{\"tlogs\":[{\"publicKey\":{\"keyDetails\":\"PKIX_ED25519\",\"rawBytes\":\"MCowBQYDK2VwAyEAmpwZeYGrlEw+NoAOjWQA6SFjIoaEYhkxLta0UabixJw=\"}}]}"
    }
  }
  assert {
    condition     = output.spki == "MCowBQYDK2VwAyEAmpwZeYGrlEw+NoAOjWQA6SFjIoaEYhkxLta0UabixJw=" && length(jsondecode(output.trusted_root).tlogs) == 1
    error_message = "The key is ${output.spki}."
  }
}

run "the_server_has_another_key" {
  command = plan
  variables {
    initialized = true
  }
  override_data {
    target = data.http.vkey[0]
    values = { status_code = 200, response_body = "log.example.com+11111111+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSd\n" }
  }
  override_data {
    target = data.http.trusted_root[0]
    values = {
      status_code   = 200
      response_body = "{\"tlogs\":[{\"publicKey\":{\"keyDetails\":\"PKIX_ED25519\",\"rawBytes\":\"MCowBQYDK2VwAyEAmpwZeYGrlEw+NoAOjWQA6SFjIoaEYhkxLta0UabixJw=\"}}]}"
    }
  }
  expect_failures = [data.http.vkey[0]]
}

run "the_trusted_root_has_another_key" {
  command = plan
  variables {
    initialized = true
  }
  override_data {
    target = data.http.vkey[0]
    values = { status_code = 200, response_body = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc\n" }
  }
  override_data {
    target = data.http.trusted_root[0]
    values = {
      status_code   = 200
      response_body = "{\"tlogs\":[{\"publicKey\":{\"keyDetails\":\"PKIX_ED25519\",\"rawBytes\":\"MCowBQYDK2VwAyEAmpwZeYGrlEw+NoAOjWQA6SFjIoaEYhkxLta0UabixJw=\"}},{\"publicKey\":{\"keyDetails\":\"PKIX_ED25519\",\"rawBytes\":\"MCowBQYDK2VwAyEAAAAA\"}}]}"
    }
  }
  expect_failures = [data.http.trusted_root[0]]
}

run "the_key_of_rekor_v1_is_another" {
  command = plan
  variables {
    initialized  = true
    rekor_v1_key = "MFkwA"
  }
  override_data {
    target = data.http.vkey[0]
    values = { status_code = 200, response_body = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc\n" }
  }
  override_data {
    target = data.http.trusted_root[0]
    values = {
      status_code   = 200
      response_body = "{\"tlogs\":[{\"publicKey\":{\"keyDetails\":\"PKIX_ED25519\",\"rawBytes\":\"MCowBQYDK2VwAyEAmpwZeYGrlEw+NoAOjWQA6SFjIoaEYhkxLta0UabixJw=\"}},{\"publicKey\":{\"keyDetails\":\"PKIX_ECDSA_P256_SHA_256\",\"rawBytes\":\"MFkwB\"}}]}"
    }
  }
  expect_failures = [data.http.trusted_root[0]]
}

run "not_a_vkey" {
  command = plan
  variables {
    vkey = "log.example.com+68e25b55+BmldsaKEY"
  }
  expect_failures = [var.vkey]
}
