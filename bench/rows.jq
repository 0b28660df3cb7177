# The rows of a page as CSV for COPY, without service_name and query_hex. Numbers may be strings, and counters 12.0.
def count: if . == null then null else (tonumber | round) end;
.result[] | [
  $id, null, .queryId, null, .queryText, .dbName, .dbUser, .dbOperation, .app,
  (.callCount | count), (.errorCount | count),
  .totalDurationUs, .avgDurationUs, .maxDurationUs,
  .p50DurationUs, .p95DurationUs, .p99DurationUs,
  (.totalRows | count), (.totalSharedBlksRead | count), (.totalSharedBlksHit | count),
  .totalCpuTimeUs, (.totalWalBytes | count)
] | @csv
