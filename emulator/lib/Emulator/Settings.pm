# The settings of PostgreSQL that a configuration may have, and which values of them the
# API refuses.
package Emulator::Settings;

use strict;
use warnings;

# Those of the API's document: the least number, or the choices
my %LEAST = (
	max_connections => 1,
	maintenance_work_mem => 64,
	work_mem => 64,
	effective_cache_size => 8,
	min_wal_size => 32768,
	max_wal_size => 32768,
	autovacuum_max_workers => 1,
	autovacuum_naptime => 1,
	autovacuum_work_mem => 1024,
	autovacuum_vacuum_cost_limit => 1,
	max_slot_wal_keep_size => 0);
my %CHOICES = (
	default_transaction_isolation =>
	  [ 'read committed', 'repeatable read', 'serializable' ],
	ssl_min_protocol_version => [qw(TLSv1 TLSv1.1 TLSv1.2 TLSv1.3)],
	wal_compression => [qw(off on lz4 zstd)]);

# All, as PostgreSQL 18 has them: a kind, with the least and the greatest number, and
# then the names, indented
my %KIND;
{
	my $kind;
	for my $line (split /\n/, <<'END')
boolean
	allow_alter_system array_nulls autovacuum bonjour check_function_bodies
	data_sync_retry debug_pretty_print debug_print_parse debug_print_plan
	debug_print_rewritten default_transaction_deferrable default_transaction_read_only
	enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge
	enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort
	enable_indexonlyscan enable_indexscan enable_material enable_memoize
	enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
	enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join
	enable_presorted_aggregate enable_self_join_elimination enable_seqscan enable_sort
	enable_tidscan escape_string_warning event_triggers exit_on_error fsync
	full_page_writes geqo gss_accept_delegation hot_standby hot_standby_feedback jit
	krb_caseins_users lo_compat_privileges log_checkpoints log_disconnections
	log_duration log_executor_stats log_hostname log_lock_failures log_lock_waits
	log_parser_stats log_planner_stats log_recovery_conflict_waits
	log_replication_commands log_statement_stats log_truncate_on_rotation
	logging_collector md5_password_warnings parallel_leader_participation
	quote_all_identifiers recovery_target_inclusive restart_after_crash row_security
	ssl ssl_passphrase_command_supports_reload ssl_prefer_server_ciphers
	standard_conforming_strings summarize_wal sync_replication_slots
	synchronize_seqscans syslog_sequence_numbers syslog_split_messages track_activities
	track_commit_timestamp track_cost_delay_timing track_counts track_io_timing
	track_wal_io_timing transform_null_equals update_process_title vacuum_truncate
	wal_init_zero wal_log_hints wal_receiver_create_temp_slot wal_recycle
integer 0 2147483647
	autovacuum_analyze_threshold autovacuum_vacuum_threshold checkpoint_warning
	client_connection_check_interval geqo_generations geqo_pool_size
	gin_fuzzy_search_limit huge_page_size idle_in_transaction_session_timeout
	idle_replication_slot_timeout idle_session_timeout lock_timeout log_rotation_size
	log_startup_progress_interval max_pred_locks_per_page min_dynamic_shared_memory
	recovery_min_apply_delay statement_timeout tcp_keepalives_count tcp_keepalives_idle
	tcp_keepalives_interval tcp_user_timeout transaction_timeout wal_keep_size
	wal_receiver_timeout wal_sender_timeout wal_skip_threshold wal_writer_flush_after
integer -1 2147483647
	autovacuum_vacuum_insert_threshold autovacuum_vacuum_max_threshold
	autovacuum_work_mem log_autovacuum_min_duration log_min_duration_sample
	log_min_duration_statement log_temp_files max_slot_wal_keep_size
	max_standby_archive_delay max_standby_streaming_delay temp_file_limit
integer 0 262143
	max_active_replication_origins max_logical_replication_workers
	max_prepared_transactions max_replication_slots max_sync_workers_per_subscription
	max_wal_senders max_worker_processes reserved_connections
	superuser_reserved_connections
integer 1 2147483647
	deadlock_timeout effective_cache_size from_collapse_limit join_collapse_limit
	scram_iterations wal_retrieve_retry_interval
integer 64 2147483647
	gin_pending_list_limit logical_decoding_work_mem maintenance_work_mem
	max_files_per_process max_notify_queue_pages work_mem
integer 0 1024
	max_parallel_apply_workers_per_subscription max_parallel_maintenance_workers
	max_parallel_workers max_parallel_workers_per_gather
integer 16 131072
	multixact_member_buffers multixact_offset_buffers notify_buffers
	serializable_buffers
integer 1 262143
	autovacuum_max_workers autovacuum_worker_slots max_connections
integer 0 256
	backend_flush_after bgwriter_flush_after checkpoint_flush_after
integer 0 1000
	commit_siblings effective_io_concurrency maintenance_io_concurrency
integer 0 131072
	commit_timestamp_buffers subtransaction_buffers transaction_buffers
integer 1 10000
	default_statistics_target vacuum_cost_limit wal_writer_delay
integer 2 2147483647
	geqo_threshold max_wal_size min_wal_size
integer 0 10000
	vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss
integer 0 1073741823
	archive_timeout bgwriter_lru_maxpages
integer 1 128
	io_combine_limit io_max_combine_limit
integer 0 511
	log_file_mode unix_socket_permissions
integer -1 1073741823
	log_parameter_max_length log_parameter_max_length_on_error
integer 0 35791394
	log_rotation_age wal_summary_keep_time
integer 10 2147483647
	max_locks_per_transaction max_pred_locks_per_transaction
integer 0 715827882
	min_parallel_index_scan_size min_parallel_table_scan_size
integer 0 2100000000
	vacuum_failsafe_age vacuum_multixact_failsafe_age
integer 0 1000000000
	vacuum_freeze_min_age vacuum_multixact_freeze_min_age
integer 0 2000000000
	vacuum_freeze_table_age vacuum_multixact_freeze_table_age
integer 1 600
	authentication_timeout
integer 100000 2000000000
	autovacuum_freeze_max_age
integer 10000 2000000000
	autovacuum_multixact_freeze_max_age
integer 1 2147483
	autovacuum_naptime
integer -1 10000
	autovacuum_vacuum_cost_limit
integer 10 10000
	bgwriter_delay
integer 30 86400
	checkpoint_timeout
integer 0 100000
	commit_delay
integer -15 3
	extra_float_digits
integer 1 10
	geqo_effort
integer -1 1024
	io_max_concurrency
integer 1 32
	io_workers
integer -2147483648 2147483647
	max_pred_locks_per_relation
integer 100 2147483647
	max_stack_depth
integer 1 65535
	port
integer 16 1073741823
	shared_buffers
integer 100 1073741823
	temp_buffers
integer 100 1048576
	track_activity_query_size
integer 0 16777216
	vacuum_buffer_usage_limit
integer -1 262143
	wal_buffers
integer 65536 1073741823
	wal_decode_buffer_size
integer 0 2147483
	wal_receiver_status_interval
number 0 1.79769e+308
	cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost parallel_setup_cost
	parallel_tuple_cost random_page_cost seq_page_cost
number 0 1
	checkpoint_completion_target cursor_tuple_fraction geqo_seed
	log_statement_sample_rate log_transaction_sample_rate
	vacuum_max_eager_freeze_failure_rate
number 0 100
	autovacuum_analyze_scale_factor autovacuum_vacuum_insert_scale_factor
	autovacuum_vacuum_scale_factor vacuum_cost_delay
number -1 1.79769e+308
	jit_above_cost jit_inline_above_cost jit_optimize_above_cost
number -1 100
	autovacuum_vacuum_cost_delay
number 0 10
	bgwriter_lru_multiplier
number 1.5 2
	geqo_selection_bias
number 1 1000
	hash_mem_multiplier
number 0.001 1e+06
	recursive_worktable_factor
text
	application_name archive_cleanup_command archive_command archive_library
	archive_mode backslash_quote bonjour_name bytea_output client_encoding
	client_min_messages cluster_name compute_query_id constraint_exclusion
	createrole_self_grant data_directory DateStyle default_table_access_method
	default_tablespace default_text_search_config default_toast_compression
	default_transaction_isolation dynamic_library_path dynamic_shared_memory_type
	event_source extension_control_path external_pid_file file_copy_method
	file_extend_method hba_file huge_pages icu_validation_level ident_file
	IntervalStyle io_method jit_provider krb_server_keyfile lc_messages lc_monetary
	lc_numeric lc_time listen_addresses local_preload_libraries log_connections
	log_destination log_directory log_error_verbosity log_filename log_line_prefix
	log_min_error_statement log_min_messages log_statement log_timezone
	oauth_validator_libraries output_plugin_libraries password_encryption
	plan_cache_mode primary_conninfo primary_slot_name recovery_end_command
	recovery_init_sync_method recovery_prefetch recovery_target recovery_target_action
	recovery_target_lsn recovery_target_name recovery_target_time
	recovery_target_timeline recovery_target_xid restore_command search_path
	session_preload_libraries session_replication_role shared_memory_type
	shared_preload_libraries ssl_ca_file ssl_cert_file ssl_ciphers ssl_crl_dir
	ssl_crl_file ssl_dh_params_file ssl_groups ssl_key_file ssl_max_protocol_version
	ssl_min_protocol_version ssl_passphrase_command ssl_tls13_ciphers
	stats_fetch_consistency synchronized_standby_slots synchronous_commit
	synchronous_standby_names syslog_facility syslog_ident temp_tablespaces TimeZone
	timezone_abbreviations track_functions unix_socket_directories unix_socket_group
	wal_compression wal_level wal_sync_method xmlbinary xmloption
END
	{
		$kind = [ split ' ', $line ] if $line !~ /\A\t/;
		@KIND{ split ' ', $line } = ($kind) x split ' ', $line if $line =~ /\A\t/;
	}
}

my $UNIT = qr/(?:B|kB|MB|GB|TB|us|ms|s|m|min|h|d)/;

# Settings whose values are numbers without a unit
my %COUNT = map { $_ => 1 } qw(max_connections max_worker_processes
  max_parallel_workers max_parallel_workers_per_gather
  max_parallel_maintenance_workers autovacuum_max_workers
  effective_io_concurrency);

# Why the API refuses a value, a string or a number, of a setting; undef if it does not.
# Settings of extensions may have any.
sub refusal
{
	my ($name, $value, $is_number) = @_;
	return undef if $name =~ /\./;
	my $kind = $KIND{$name} // return 'Unknown configuration parameter';
	return 'Value cannot be empty' if $value eq '';
	my $choices = $CHOICES{$name};
	return 'must be one of: ' . join ', ', @$choices
	  if $choices && !grep { $_ eq $value } @$choices;
	return _of_boolean($value) if $kind->[0] eq 'boolean';
	return undef if $kind->[0] eq 'text';
	my ($type, $least, $greatest) = @$kind;
	$least = $LEAST{$name} if $is_number && defined $LEAST{$name};
	return _of_number($value, $type, $least, $greatest, $COUNT{$name});
}

# PostgreSQL takes any beginning that is not ambiguous.
sub _of_boolean
{
	my ($value) = @_;
	return undef if $value =~ /\A(?:[01]|on|off?|t(?:r|ru|rue)?|f(?:a|al|als|alse)?|y(?:e|es)?|no?)\z/i;
	return "must be 'on' or 'off'";
}

# A value with a unit is checked for its form only.
sub _of_number
{
	my ($value, $type, $least, $greatest, $is_count) = @_;
	return undef if !$is_count && $value =~ /\A\d+(?:\.\d+)? ?$UNIT\z/a;
	return 'must be an integer' if $type eq 'integer' && $value !~ /\A-?\d+\z/a;
	return 'must be a float' if $value !~ /\A-?\d+(?:\.\d+)?(?:e[-+]?\d+)?\z/ai;
	return undef if $value >= $least && $value <= $greatest;
	return "must be between $least and $greatest";
}

1;
