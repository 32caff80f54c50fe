// What judges the dashboard: the schema of Grafana's own SDK, at a version and checksums that are pinned.
module grafana

go 1.26.0

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
