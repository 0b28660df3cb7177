# Monitoring: Prometheus metrics, time series and logs.
use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP qw(decode_json);
use Test::More;
use TestEmulator;

my $NOW = '2026-06-30T12:00:30.000Z';

my $emulator = start_emulator();
my $orders = $TestEmulator::ORDERS;

sub get
{
	my ($path, $query) = @_;
	return $emulator->get(
		$emulator->postgres($orders, $path) . ($query ? "?$query" : ''));
}

# The query of a window; times are "DD HH:MM:SS[.mmm]" of June
sub window
{
	my ($from, $to, @more) = @_;
	my ($first, $last) = map {
		my ($day, $time) = split / /;
		$time .= '.000' if $time !~ /\./;
		"2026-06-${day}T${time}Z"
	} $from, $to;
	return join '&', "from_date=$first", "to_date=$last", @more;
}

# The samples of a text: name with labels, and value
sub samples
{
	my ($text) = @_;
	return map { /\A(.*\}) (\S+)\z/ } grep { !/\A#/ } split /\n/, $text;
}

sub series
{
	my (@query) = @_;
	my $answer = get('metrics', window(@query));
	is($answer->{status}, 200, "metrics are answered: @query");
	return { map { $_->{key} => $_ } @{ $answer->{json}{result}{metrics} } };
}

# The points of one series, as "time value"
sub points
{
	my ($metrics, $key) = @_;
	return [ map { "$_->{timestamp} $_->{value}" }
		  @{ $metrics->{$key}{series}[0]{dataPoints} } ];
}

sub logs
{
	my (@query) = @_;
	my $answer = get('logs', window(@query));
	is($answer->{status}, 200, "logs are answered: @query");
	return @{ $answer->{json}{result} };
}

sub refused
{
	my ($path, $query, $why) = @_;
	my $answer = get($path, $query);
	is($answer->{status}, 400, "$path?$query is refused");
	like($answer->{json}{error}, qr/\ABAD_REQUEST: .*$why/, 'the refusal says why');
	return;
}

subtest 'an exposition has the families of a service' => sub {
	$emulator->reset(now => $NOW);
	my $answer = get('prometheus');
	is($answer->{status}, 200, 'an exposition is answered');
	like($answer->{headers}{'content-type'}, qr{\Atext/plain}, 'an exposition is text');

	my $text = $answer->{content};
	my %times;
	$times{$_}++ for $text =~ /^# ((?:HELP|TYPE) \S+)/mg;
	is(keys %times, 44, '22 families have HELP and TYPE');
	is_deeply([ grep { $times{$_} > 1 } keys %times ],
		[], 'each family has them once');

	my %sample = samples($text);
	is(keys %sample, 37, '37 series are all different');
	my $common = qq(clickhouse_org="$emulator->{organization}",)
	  . qq(postgres_service="$orders",postgres_service_name="orders");
	is_deeply([ grep { !/\A\w+\{\Q$common\E[,}]/ } keys %sample ],
		[], 'all series have the labels of the service');
	is( $sample{
				"PostgresServiceInfo{$common,"
			  . 'postgres_status="running",postgres_version="18"}'
		},
		1,
		'a series has status and version');
	is(get('prometheus')->{content}, $text, 'a second exposition is the same');
};

subtest 'counters grow once a minute' => sub {
	my @text;
	for my $time (qw(12:00:30 12:00:59 12:01:00))
	{
		$emulator->reset(now => "2026-06-30T$time.000Z");
		push @text, get('prometheus')->{content};
	}
	is($text[1], $text[0], 'counters stand still within a minute');
	my %before = samples($text[0]);
	my %after = samples($text[2]);
	is_deeply([ sort keys %after ], [ sort keys %before ], 'no series comes or goes');
	my @changed = grep { $after{$_} != $before{$_} } keys %after;
	cmp_ok(@changed, '>', 14, 'counters grow with the next minute');
	is_deeply([ grep { !/_Total\{/ || $after{$_} < $before{$_} } @changed ],
		[], 'only counters grow');

	$emulator->reset(now => '2024-01-01T00:00:00.000Z');
	%before = samples(get('prometheus')->{content});
	is_deeply([ grep { $_ < 0 } values %before ], [], 'no counter is negative');
};

# Labels beside those of the service, by family
subtest 'only some families have labels of their own' => sub {
	for my $fleet (qw(test demo))
	{
		$emulator->reset(fleet => $fleet, now => $NOW);
		my %labels;
		for (split /\n/,
			$emulator->get($emulator->postgres('prometheus'))->{content})
		{
			my ($family, $rest) = /\A(\w+)\{[^}]*postgres_service_name="[^"]*"([^}]*)\}/
			  or next;
			$labels{ $family =~ s/\APostgresServer_//r }{$_}++
			  for $rest =~ /(\w+)=/g;
		}
		is_deeply(
			{ map { $_ => join ' ', sort keys %{ $labels{$_} } } keys %labels },
			{
				PostgresServiceInfo => 'postgres_status postgres_version',
				CPUSeconds_Total => 'mode',
				ActiveConnections => 'state',
				DatabaseSizeBytes => 'database'
			},
			"labels of the $fleet fleet are the documented ones");
	}
};

subtest 'labels are escaped' => sub {
	$emulator->reset(
		overrides => {
			orders => { name => qq(a"b\\c\nd), state => 'x"y' },
			billing => { postgresVersion => undef }
		});
	my $text =
	  $emulator->get($emulator->postgres('prometheus'))->{content};
	like($text, qr/postgres_service_name="a\\"b\\\\c\\nd",/, 'a name is escaped');
	like($text, qr/postgres_status="x\\"y",/, 'a state is escaped');
	like($text, qr/="billing",.*postgres_version=""\} 1$/m, 'a missing version is an empty label');
};

subtest "an organization's exposition has at most 100 services" => sub {
	for my $case ([ 6, 6 ], [ 100, 100 ], [ 101, 100 ])
	{
		my ($services, $told) = @$case;
		$emulator->reset(services => $services);
		my $text =
		  $emulator->get($emulator->postgres('prometheus'))->{content};
		my @names = $text =~ /^PostgresServiceInfo\{.*_name="([^"]*)"/mg;
		is(@names, $told, "$told of $services services are shown");
		is($names[0], 'orders', 'the first services are shown');
		is(() = $text =~ /^# TYPE /mg, 22, 'each family has one TYPE');
	}
	$emulator->reset(organizations => 2);
	my $other = $emulator->control('GET', 'info')->{organization_ids}[1];
	my $answer =
	  $emulator->get("/v1/organizations/$other/postgres/prometheus");
	unlike($answer->{content}, qr/^[^#]/m, 'without services there are no samples');
};

subtest 'time series of windows agree' => sub {
	$emulator->reset(now => $NOW);
	my $metrics =
	  series('01 00:00:00', '01 01:00:00', 'bucket_size_seconds=60');
	is_deeply(
		[ sort keys %$metrics ],
		[
			qw(cache_hit_ratio connection_count cpu_usage
			  database_size deadlocks disk_io disk_usage load_average
			  lock_waits memory_usage network_traffic operation_throughput
			  transactions wait_events)
		],
		'the metrics are the documented ones');
	is($metrics->{load_average}{unit}, undef, 'the unit of the load is null');
	is($metrics->{cpu_usage}{unit}, '%', 'the unit of the CPU is not null');
	my $points = points($metrics, 'cpu_usage');
	is(@$points, 60, 'each minute has a point');
	like($points->[0], qr/\A1780272000 /, 'the start belongs to the window');
	like($points->[-1], qr/\A1780275540 /, 'the end does not belong to the window');

	my $inner =
	  series('01 00:00:30', '01 00:05:30', 'bucket_size_seconds=60');
	is_deeply(
		points($inner, 'cpu_usage'),
		[ @$points[ 1 .. 5 ] ],
		'points lie at multiples of the bucket');

	for my $key (sort keys %$metrics)
	{
		my @cuts = ('01 00:00:00', '01 00:17:21.500', '01 01:00:00');
		my @parts =
		  map { @{ points($_, $key) } }
		  map { series(@cuts[ $_, $_ + 1 ], 'bucket_size_seconds=60') } 0, 1;
		is_deeply(\@parts, points($metrics, $key), "$key: parts of a window join");
	}
	my $month = series('01 00:00:00', '30 00:00:00');
	my @percent = map { $_->{value} }
	  map  { @{ $_->{dataPoints} } }
	  map  { @{ $_->{series} } }
	  grep { ($_->{unit} // '') eq '%' } values %$month;
	is_deeply([ grep { $_ < 0 || $_ > 100 } @percent ],
		[], 'percentages are from 0 to 100');
};

subtest 'names, units and labels of time series are the documented ones' => sub {
	for my $fleet (qw(test demo))
	{
		$emulator->reset(fleet => $fleet, now => $NOW);
		my $metrics = series('30 11:00:00', '30 12:00:00');
		my %is = map {
			my $metric = $metrics->{$_};
			$_ => join '|', $metric->{name}, $metric->{unit} // 'null',
			  map { $_->{label} } @{ $metric->{series} }
		} keys %$metrics;
		cmp_ok(split(/\|/, delete $is{database_size}),
			'<=', 2 + 5, 'at most five databases are shown');
		is_deeply(
			\%is,
			{
				cpu_usage => 'CPU Usage|%|user|system|iowait|steal|softirq',
				load_average =>
				  'Load Average|null|1 minute|5 minutes|15 minutes',
				memory_usage =>
				  'Memory Usage|%|Used Memory|Cache & Buffers|Committed Memory',
				disk_usage => 'Disk Usage|%|Used Space',
				disk_io => 'Disk I/O|IOPS|Reads|Writes',
				network_traffic =>
				  'Network Traffic|bytes/s|Received|Transmitted',
				connection_count => 'Connection Count|count|Active|Total',
				cache_hit_ratio => 'Cache Hit Ratio|%|',
				operation_throughput =>
				  'Operation Throughput|ops/s|Fetch|Insert|Update|Delete',
				deadlocks => 'Deadlocks|deadlocks/s|',
				transactions => 'Transactions|count/s|Commits|Rollbacks',
				wait_events => 'Wait Events|count|Client:ClientRead'
				  . '|IO:DataFileRead|IO:WALSync|LWLock:BufferMapping'
				  . '|LWLock:WALWrite|Lock:relation|Lock:transactionid|Lock:tuple',
				lock_waits => 'Lock Waits|count|relation|transactionid|tuple'
			},
			"metrics of the $fleet fleet are the documented ones");
		my %value = map {
			my $key = $_;
			map { ("$key $_->{label}" => $_->{dataPoints}[0]{value}) }
			  @{ $metrics->{$key}{series} }
		} qw(wait_events lock_waits connection_count);
		cmp_ok(abs($value{"wait_events Lock:$_"} - $value{"lock_waits $_"}), '<=', 0.001 + 0.05 * $value{"lock_waits $_"}, "wait events and lock waits of $_ agree: $fleet")
		  for qw(relation transactionid tuple);
		my $waiting = 0;
		$waiting += $value{$_} for grep { /\Await_events (?!Client)/ } keys %value;
		cmp_ok($waiting, '<=', $value{'connection_count Active'} + 1, "waiting sessions are active: $fleet");
	}
};

# Prometheus, the time series and the service's own fields show one machine.
subtest 'Prometheus, time series and fields show one machine' => sub {
	for my $fleet (qw(test demo))
	{
		$emulator->reset(fleet => $fleet, now => $NOW);
		for my $service (
			@{ $emulator->get($emulator->postgres)->{json}{result} })
		{
			my ($name, $id) = @$service{qw(name id)};
			my $path = $emulator->postgres($id);
			my $fields = $emulator->get($path)->{json}{result};
			my %sample =
			  samples($emulator->get("$path/prometheus")->{content});
			my %value;
			for (keys %sample)
			{
				my ($family, $label) = /PostgresServer_(\w+)\{.*?(\w+="[^"]*")\}\z/
				  or next;
				$value{$family}{ $label =~ s/.*="(.*)"/$1/r } = $sample{$_};
			}
			my $one = sub { $value{ $_[0] }{$name} };
			my $metrics = {
				map { $_->{key} => $_ } @{
					$emulator->get(
						"$path/metrics?bucket_size_seconds=3600&"
						  . window('29 12:00:00', '30 12:00:01'))
					  ->{json}{result}{metrics}
				}
			};
			my $mean = sub {
				my ($key, @labels) = @_;
				my $sum = 0;
				for my $series (@{ $metrics->{$key}{series} })
				{
					next
					  if @labels && !grep { $_ eq $series->{label} } @labels;
					my @points = @{ $series->{dataPoints} };
					$sum += $_->{value} / @points for @points;
				}
				return $sum;
			};
			my $near = sub {
				my ($this, $that, $ratio, $what) = @_;
				cmp_ok(abs($this - $that),
					'<=', $ratio * abs($that) + 0.01, "$name: $what");
			};

			is($one->('StorageLimitBytes'),
				$fields->{storageSize} * 1024**3, "$name: the limit is the storage of the service");
			my $used = $one->('StorageLimitBytes') *
			  $one->('FilesystemUsedPercent') / 100;
			my $databases = 0;
			$databases += $_ for values %{ $value{DatabaseSizeBytes} };
			cmp_ok($databases, '<=', $used, "$name: databases fit into the storage in use");
			cmp_ok($databases, '>', 0.8 * $used, "$name: databases fill the storage in use");
			$near->($mean->('database_size'), $databases, 0.02, 'databases');
			$near->(
				$mean->('disk_usage'), $one->('FilesystemUsedPercent'),
				0.02, 'storage in use');
			$near->(
				$mean->('memory_usage', 'Used Memory'),
				$one->('MemoryUsedPercent'),
				0.1, 'memory');
			cmp_ok(
				$one->('MemoryUsedPercent') + $one->('MemoryCachePercent'),
				'<=', 100, "$name: used and cached memory fit");
			my $open = 0;
			$open += $_ for values %{ $value{ActiveConnections} };
			$near->($mean->('connection_count', 'Total'), $open, 0.5,
				'connections');
			cmp_ok($mean->('connection_count', 'Active'),
				'<=', $mean->('connection_count', 'Total'), "$name: active connections are among all");
			$near->(
				$mean->('load_average', '5 minutes') / $one->('CPUCores'),
				$mean->('cpu_usage', qw(user system)) / 100,
				0.4, 'load');
		}
	}

	# A counter grows by what the time series shows.
	my @counted;
	for my $day (29, 30)
	{
		$emulator->reset(now => "2026-06-${day}T12:00:00.000Z");
		my %sample = samples(get('prometheus')->{content});
		push @counted, { map { /_(\w+)_Total/ ? ($1 => $sample{$_}) : () }
			  grep { !/mode=/ } keys %sample };
	}
	my $metrics = series('29 12:00:00', '30 12:00:00', 'bucket_size_seconds=3600');
	for my $case (
		[ TransactionsCommitted => transactions => 0 ],
		[ NetworkReceiveBytes => network_traffic => 0 ],
		[ DiskReads => disk_io => 0 ],
		[ TuplesUpdated => operation_throughput => 2 ])
	{
		my ($family, $key, $place) = @$case;
		my $sum = 0;
		$sum += 3600 * $_->{value}
		  for @{ $metrics->{$key}{series}[$place]{dataPoints} };
		my $grown = $counted[1]{$family} - $counted[0]{$family};
		cmp_ok(abs($grown / $sum - 1), '<', 0.1, "$family grows as $key shows");
	}
};

subtest 'a response has at most 250 points' => sub {
	my $short = window('01 00:00:00', '01 04:10:00');
	is(get('metrics', "$short&bucket_size_seconds=60")->{status},
		200, '250 points are answered');
	refused('metrics',
		window('01 00:00:00', '01 04:10:00.001', 'bucket_size_seconds=60'),
		'data points');
	is( get('metrics',
			window(
				'01 00:00:00.001', '01 04:10:30', 'bucket_size_seconds=60')
		)->{status},
		200,
		'250 points in a longer window are answered');

	for my $case (
		[ '01 04:10:00', 60 ],
		[ '01 04:10:01', 300 ],
		[ '01 20:50:01', 900 ],
		[ '03 14:30:01', 3600 ],
		[ '11 10:00:01', 10800 ])
	{
		my ($to, $bucket) = @$case;
		my $points = points(series('01 00:00:00', $to), 'load_average');
		my ($first, $second) = map { (split / /)[0] } @$points;
		is($second - $first, $bucket, "to $to: a bucket has $bucket seconds");
	}
};

subtest 'logs have pages, an order and both ends' => sub {
	my @window = ('01 00:00:00', '01 02:00:00');
	my @lines = logs(@window, 'limit=2000', 'sort_order=asc');
	is(@lines, 121, 'each hour has sixty lines, and the end one');
	is($lines[0]{timestamp}, '2026-06-01T00:00:00.000Z', 'the first line is at the start');
	is($lines[-1]{timestamp}, '2026-06-01T02:00:00.000Z', 'the last line is at the end');
	is_deeply(
		[ sort keys %{ $lines[0] } ],
		[qw(body severity timestamp)],
		'a line has a body, a severity and a time');
	is_deeply(
		[ map { $_->{timestamp} } @lines ],
		[ sort map { $_->{timestamp} } @lines ],
		'lines are in ascending order');
	is_deeply(
		[ logs(@window, 'limit=2000') ],
		[ reverse @lines ],
		'the default order is descending');
	is_deeply(
		[ logs(('01 01:00:00') x 2) ],
		[ grep { $_->{timestamp} =~ /T01:00:00\.000/ } @lines ],
		'a window may be a millisecond');

	is(scalar(() = logs(@window)), 50, 'a page has fifty lines by default');
	my @pages =
	  map { logs(@window, 'sort_order=asc', 'limit=40', "offset=$_") } 0, 40,
	  80, 120, 160;
	is_deeply(\@pages, \@lines, 'pages join');

	is_deeply(
		[
			logs(
				'01 00:00:00', '01 00:59:59.999',
				'sort_order=asc', 'limit=2000'),
			logs(
				'01 01:00:00', '01 02:00:00', 'sort_order=asc', 'limit=2000')
		],
		\@lines,
		'parts of a window join');
};

subtest 'each hour of a log is alike' => sub {
	for my $per_hour (4, 60)
	{
		$emulator->reset(log_lines_per_hour => $per_hour);
		my @lines = logs(
			'02 00:00:00', '02 23:59:59.999',
			'limit=2000', 'sort_order=asc');
		is(@lines, 24 * $per_hour, "each hour has $per_hour lines");
		my (%at, %hours);
		push @{ $at{ $_->{timestamp} } }, "$_->{severity} $_->{body}"
		  for @lines;
		for my $time (keys %at)
		{
			my ($hour) = $time =~ /T(\d\d)/;
			my %different = map { $_ => 1 } @{ $at{$time} };
			$hours{$hour}{ @{ $at{$time} } . ' of which ' .
				  keys %different }++;
			$hours{$hour}{start}++ if $time =~ /:00:00\.000Z\z/;
		}
		is_deeply([ grep { ($hours{$_}{start} // 0) != 1 } keys %hours ],
			[], 'each hour has a line at its start');
		is_deeply(
			[ grep { ($hours{$_}{'3 of which 2'} // 0) != 1 } keys %hours ],
			[], 'each hour has three lines in a millisecond, two of them equal');
	}
};

subtest 'filters select lines' => sub {
	$emulator->reset(log_lines_per_hour => 60);
	my @window = ('03 00:00:00', '04 09:00:00', 'limit=2000');
	my @lines = logs(@window);
	for my $severity (qw(DEBUG LOG INFO NOTICE WARNING ERROR FATAL PANIC))
	{
		my @wanted = grep { $_->{severity} eq $severity } @lines;
		cmp_ok(@wanted, '>', 0, "some lines are of severity $severity");
		is_deeply([ logs(@window, "severity=$severity") ],
			\@wanted, 'the filter selects them alone');
	}
	my @wanted = grep { $_->{body} =~ /deadlock detected/ } @lines;
	cmp_ok(@wanted, '>', 0, 'some lines are of deadlocks');
	is_deeply([ logs(@window, 'body_contains=deadlock%20detected') ],
		\@wanted, 'the filter selects them alone');
	is_deeply([ logs(@window, 'body_contains=Deadlock%20detected') ],
		[], 'the filter distinguishes case');
	@wanted = grep { $_->{body} =~ /Straße/ } @lines;
	cmp_ok(@wanted, '>', 0, 'some lines are not ASCII');
	is_deeply([ logs(@window, 'body_contains=Stra%C3%9Fe') ],
		\@wanted, 'the filter selects them alone');

	my @structured = grep { $_->{body} =~ /\A\{/ } @lines;
	my $share = @structured / @lines;
	ok($share > 0.02 && $share < 0.1, 'one line in twenty is structured');
	utf8::encode(my $body = $structured[0]{body});
	is( decode_json($body)->{error_severity},
		$structured[0]{severity},
		'a structured line is JSON');
};

subtest 'one seed makes one response' => sub {
	my @asked = (
		['prometheus'],
		[ 'metrics', window('01 00:00:00', '02 00:00:00') ],
		[ 'logs', window('01 00:00:00', '02 00:00:00') ]);
	my $answers = sub {
		my (%options) = @_;
		$emulator->reset(now => $NOW, %options);
		return [ map { get(@$_)->{content} =~ s/"requestId":"[^"]*"//r }
			  @asked ];
	};
	my $first = $answers->(seed => 1);
	is_deeply($answers->(seed => 1, services => 3), $first, 'the same seed makes the same responses');
	my $second = $answers->(seed => 2);
	isnt($second->[$_], $first->[$_], "another seed makes other $asked[$_][0]")
	  for 0 .. 2;
};

subtest 'invalid requests are refused' => sub {
	$emulator->reset(now => $NOW);
	my $from = 'from_date=2026-06-01T00:00:00.000Z';
	my $to = 'to_date=2026-06-02T00:00:00.000Z';

	refused('prometheus', 'from_date=x', 'Unknown parameter: ');
	for my $path (qw(metrics logs))
	{
		refused($path, $from, "'to_date' is required");
		refused($path, $to, "'from_date' is required");
		refused($path, "$from&$from&$to", 'twice');
		refused($path, "$from&$to&app=x", 'Unknown parameter: ');
		refused($path, "$from&to_date=2026-06-02T00:00:00Z",
			"'2026-06-02T00:00:00Z'");
		refused($path, window('02 00:00:00', '01 00:00:00'), 'after');
	}
	refused('metrics', window(('01 00:00:00') x 2), 'before');
	refused('metrics', "$from&$to&bucket_size_seconds=$_", '')
	  for qw(0 -60 1.5 minute);
	refused('metrics', "$from&to_date=2026-07-02T00:00:00.001Z", '31 days');
	refused('logs', "$from&to_date=2026-07-01T00:00:00.001Z", '30 days');
	refused('logs', "$from&$to&$_", '')
	  for qw(severity=error severity=TRACE sort_order=down limit=0
	  limit=2001 limit=x offset=-1);

	for my $path (qw(prometheus metrics logs))
	{
		my $unknown = $emulator->postgres('pg' . 'x' x 24, $path);
		is($emulator->get("$unknown?$from&$to")->{status},
			404, "$path of an unknown service is not found");
		my $malformed = $emulator->postgres('orders', $path);
		is($emulator->get("$malformed?$from&$to")->{status},
			400, "$path of a name is refused");
	}
	ok(!eval { $emulator->reset(log_lines_per_hour => 3) },
		'too few lines an hour are refused');
	like($@, qr/log_lines_per_hour: fewer than 4/, 'the refusal says why');
};

done_testing();
