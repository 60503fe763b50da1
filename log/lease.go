package log

// PublishLease names the lease of the replica that publishes. Whoever else holds
// it keeps all replicas from publishing for as long.
const PublishLease = leaseName
