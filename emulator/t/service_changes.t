# Operations that make, change and end services.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Select;
use JSON::PP qw(decode_json encode_json);
use Socket   qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use TestEmulator;

my $emulator = start_emulator();
$ENV{CHPG_EMULATOR_URL} = $emulator->{url};
my $list = $emulator->postgres;
my $orders = $emulator->postgres($TestEmulator::ORDERS);
my %new = (
	name => 'my postgres',
	provider => 'aws',
	region => 'us-west-2',
	size => 'r8gd.large');
my $REPLICA = 'BAD_REQUEST: Read replicas cannot be modified directly!'
  . ' Please modify the parent database instead.';
my $NO_BACKUP = 'BAD_REQUEST: Parent server is not ready for read replicas.'
  . ' There are no backups, yet.';

# The answer to a request with a JSON body, of data or of text
sub ask
{
	my ($method, $path, $body, %headers) = @_;
	my $content = ref $body ? encode_json($body) : $body;
	# The body follows the head at once, not when the head is acknowledged.
	my $connection = $emulator->{http}{handle};
	setsockopt $connection->{fh}, IPPROTO_TCP, TCP_NODELAY, 1
	  if $connection && $connection->{fh};
	my $answer = $emulator->{http}->request(
		$method,
		"$emulator->{url}$path",
		{
			headers => {
				Authorization => $TestEmulator::AUTHORIZATION,
				'Content-Type' => 'application/json',
				%headers
			},
			defined $content ? (content => $content) : ()
		});
	$answer->{json} = eval { decode_json($answer->{content}) };
	return $answer;
}

# The result of a request that succeeds
sub result
{
	my ($method, $path, $body) = @_;
	my $answer = ask($method, $path, $body);
	is($answer->{status}, 200, "$method $path")
	  or diag($answer->{content});
	return $answer->{json}{result};
}

sub refused
{
	my ($method, $path, $body, $status, $error) = @_;
	my $answer = ask($method, $path, $body);
	my $shown = ref $body ? encode_json($body) : $body // 'nothing';
	is($answer->{status}, $status, "$method $shown is refused with $status");
	ref $error
	  ? like($answer->{json}{error}, $error, "the refusal has the API's words")
	  : is($answer->{json}{error}, $error, "the refusal has the API's words");
	return;
}

# What a read finds: the value of a field, read after read
sub reads
{
	my ($path, $field, $count) = @_;
	return [ map { $emulator->get($path)->{json}{result}{$field} }
		  1 .. $count ];
}

sub created
{
	my (%more) = @_;
	my $service = result('POST', $list, { %new, %more });
	return ($service, $emulator->postgres($service->{id}));
}

sub names
{
	return [ map { $_->{name} } @{ $emulator->get($list)->{json}{result} } ];
}

subtest 'a service is created, and then runs' => sub {
	my ($service, $path) = created();
	like($service->{id}, qr/^pg[a-z0-9]{24}$/, 'an id begins with pg');
	like($service->{password}, qr/^[\w-]{20}$/, 'a password is made');
	is($service->{username}, 'postgres', 'the user is postgres');
	like($service->{hostname}, qr/^my-postgres-\w{8}\.\Q$service->{id}\E\./,
		'the host name has the name and the id');
	is( $service->{connectionString},
		"postgres://postgres:$service->{password}\@$service->{hostname}"
		  . ':5432/postgres?channel_binding=require',
		'the connection string has the password');
	ok($service->{isPrimary}, 'a new service is a primary');
	is($service->{state}, 'creating', 'a new service is creating');
	is_deeply($service->{tags}, [], 'a new service has no tags');
	is("@$service{qw(haType postgresVersion)}", 'none 17', 'version and availability have defaults');
	ok(!exists $service->{createdAt}, 'the response omits the time of creation');

	is_deeply(names()->[-1], 'my postgres', 'a new service is listed');
	is_deeply(
		reads($path, 'state', 3),
		[qw(creating creating running)],
		'a new service runs after two reads');
	my $read = $emulator->get($path)->{json}{result};
	ok(exists $read->{createdAt}, 'reads have the time of creation');
	ok(!exists $read->{password} && !exists $read->{connectionString},
		'the password is shown once');
	my $day =
	  'from_date=2026-01-01T00:00:00.000Z&to_date=2099-01-01T00:00:00.000Z';
	is_deeply($emulator->get("$path/slowQueryPatterns?$day")->{json}{result},
		[], 'a new service has no patterns');

	my ($other) = created(
		haType => 'sync',
		postgresVersion => '18',
		storageSize => 237,
		tags => [ { key => 'a', value => '' }, { key => 'b' } ]);
	isnt($other->{id}, $service->{id}, 'a second service may have the same name');
	isnt($other->{password}, $service->{password}, 'a second service has a password of its own');
	is("@$other{qw(haType postgresVersion storageSize)}",
		'sync 18 237', 'options are taken');
	is_deeply($other->{tags}, [ { key => 'a', value => '' }, { key => 'b' } ],
		'tags are taken');
	created(
		provider => 'gcp',
		region => 'europe-west4',
		size => 'c4a-standard-8-lssd');

	$emulator->reset(transition_polls => 0);
	(undef, $path) = created();
	is_deeply(reads($path, 'state', 1), ['running'], 'without polls a service runs at once');
	$emulator->reset(transition_polls => 4);
	($service, $path) = created();
	is_deeply(reads($path, 'state', 5),
		[ ('creating') x 4, 'running' ], 'with more polls a service runs later');
};

subtest 'invalid creations are refused' => sub {
	$emulator->reset;
	for my $name (sort keys %new)
	{
		my %body = %new;
		delete $body{$name};
		refused('POST', $list, \%body, 400,
			"BAD_REQUEST: request body.$name is required.");
		refused('POST', $list, { %new, $name => 1 },
			400, "BAD_REQUEST: request body.$name is a string.");
		refused('POST', $list, { %new, $name => undef }, 400, qr/string/);
	}
	refused('POST', $list, { %new, @$_[ 0, 1 ] }, 400, $_->[2])
	  for [
		tags => { a => 'b' },
		'BAD_REQUEST: request body.tags is an array.'
	  ],
	  [ tags => ['a'], qr/tags\[0\] is an object/ ],
	  [ tags => [ { value => 'b' } ], qr/key is required/ ],
	  [ tags => [ { key => '' } ], qr/characters/ ],
	  [ tags => [ { key => 'a b' } ], qr/characters/ ],
	  [ tags => [ { key => 'chc_a' } ], qr/reserved/ ],
	  [ tags => [ { key => 'a', x => 1 } ], qr/validated: x/ ],
	  [ tags => [ ({ key => 'a' }) x 51 ], qr/at most 50/ ],
	  [ name => '', qr/characters/ ], [ name => 'x' x 51, qr/characters/ ],
	  (map { [ name => $_, qr/name needs letters, digits/ ] } "caf\x{e9}", 'a/b', "a\tb", 'a.b', q(a'b)),
	  [ provider => 'x', qr/none of/ ], [ region => 'x', qr/region/ ],
	  [ size => 'x', qr/size/ ], [ size => 'r8gd.enormous', qr/size/ ],
	  [ haType => 'x', qr/none of/ ], [ postgresVersion => 18, qr/string/ ],
	  [ storageSize => '118', qr/number/ ],
	  [ storageSize => 1.5, qr/integer/ ], [ storageSize => 0, qr/at least/ ],
	  [ pgConfig => {}, qr/pgConfig is an object with/ ],
	  [ pgBouncerConfig => {}, qr/pgBouncerConfig is an object with/ ],
	  [ pgConfig => [], qr/object/ ], [ pgConfig => { a => [] }, qr/string/ ],
	  [ pgConfig => { nix => 1 }, 'BAD_REQUEST: request body.pgConfig.nix: Unknown configuration parameter' ],
	  [ pgConfig => { work_mem => undef }, qr/string/ ],
	  [ x => 1, q(BAD_REQUEST: request body property can't be validated: x) ];
	refused('POST', $list, '[]', 400, qr/object/);
	refused('POST', $list, '{', 400, qr/object/);
	refused('POST', $list, undef, 400, qr/object/);
	refused('POST', "$list?x=1", \%new, 400, "BAD_REQUEST: Unknown parameter: x");
	my $answer = ask('POST', $list, \%new, 'Content-Type' => 'text/plain');
	is($answer->{status}, 400, 'another content type is refused');
	refused(@$_, { name => 'a?', restoreTarget => '2026-03-31T18:17:37Z' }, 400, qr/name needs letters/)
	  for [ 'POST', "$orders/restoredService" ];
	refused(@$_, { name => 'a?' }, 400, qr/name needs letters/)
	  for [ 'POST', "$orders/readReplica" ], [ 'PATCH', $orders ];
	is(scalar @{ names() }, 6, 'no refused creation makes a service');

	$emulator->reset(max_services => 7);
	created();
	refused('POST', $list, {}, 400, qr/required/);
	my $quota = ask('POST', $list, \%new);
	is( "$quota->{status} $quota->{json}{error}",
		'409 CONFLICT: Conflict',
		'a creation beyond the quota is a conflict');
	refused('POST', "$orders/readReplica", { name => 'r' },
		409, 'CONFLICT: Conflict');
	$emulator->reset(organizations => 2);
	my $second =
	  $emulator->get('/v1/organizations')->{json}{result}[1]{id};
	refused('POST', "/v1/organizations/$second/postgres",
		\%new, 409, 'CONFLICT: Conflict');
};

subtest 'an update shows after some reads' => sub {
	$emulator->reset;
	my $before = $emulator->get($orders)->{json}{result};
	my $tags = [ { key => 'a', value => 'b' } ];
	my $answer = result('PATCH', $orders,
		{ size => 'r8gd.xlarge', haType => 'none', tags => $tags });
	is( "@$answer{qw(size haType state)}",
		'r8gd.xlarge none running',
		'the response has the new values');
	is_deeply($answer->{tags}, $tags, 'the response has the new tags');
	ok(!exists $answer->{password}, 'the response has no password');
	is_deeply($emulator->get($orders)->{json}{result},
		$before, 'reads have the old values, and the state running')
	  for 1 .. 2;
	my $after = $emulator->get($orders)->{json}{result};
	is("@$after{qw(size haType state)}", 'r8gd.xlarge none running', 'later reads have the new values');
	is_deeply($after->{tags}, $tags, 'later reads have the new tags');
	is_deeply($emulator->get($list)->{json}{result}[0]{tags},
		$tags, 'the list has the new tags');

	$emulator->reset(apply_polls => 0);
	is_deeply(result('PATCH', $orders, { size => 'r8gd.xlarge' })->{tags},
		[], 'a PATCH without tags clears them');
	is_deeply(reads($orders, 'tags', 1), [ [] ], 'without polls the tags are cleared at once');
	my $named = result('PATCH', $orders, { name => 'new name' });
	like($named->{hostname}, qr/^new-name-/, 'a new name makes a new host name');
	is($emulator->get($orders)->{json}{result}{hostname},
		$named->{hostname}, 'the new host name stays');

	$emulator->reset(apply_polls => 1);
	result('PATCH', $orders, { size => 'r8gd.xlarge', tags => $tags });
	$answer = result('PATCH', $orders, { haType => 'none', tags => $tags });
	is("@$answer{qw(size haType)}", 'r8gd.xlarge none', 'a change has the values of those that are queued');
	is_deeply(reads($orders, 'haType', 2), [qw(sync none)], 'queued changes are applied');

	refused('PATCH', $orders, $_->[0], 400, $_->[1])
	  for [ { tags => [ { key => 'a', value => '' } ] }, qr/value/ ],
	  [ { tags => 'a' }, 'BAD_REQUEST: request body.tags is an array.' ],
	  [ { region => 'us-east-1' }, qr/validated: region/ ],
	  [ { size => 1 }, qr/size is a string/ ],
	  [ { size => undef }, qr/size is a string/ ],
	  [ [], qr/object/ ];
	my $analytics = $emulator->get($list)->{json}{result}[2]{id};
	refused('PATCH', $emulator->postgres($analytics), $_, 400, $REPLICA)
	  for { }
	, { size => 'r8gd.xlarge' }, { x => 1 };
};

subtest 'a service is deleted, and then gone' => sub {
	$emulator->reset;
	my $answer = ask('DELETE', $orders);
	is($answer->{status}, 200, 'a deletion is accepted');
	is_deeply([ sort keys %{ $answer->{json} } ],
		[qw(requestId status)], 'a deletion has no result');
	is_deeply(reads($orders, 'state', 2), [qw(deleting deleting)],
		'a deleted service is deleting for a while');
	refused('GET', $orders, undef, 404, "NOT_FOUND: $TestEmulator::ORDERS");
	refused('DELETE', $orders, undef, 404,
		"NOT_FOUND: $TestEmulator::ORDERS");
	ok(!(grep { $_ eq 'orders' } @{ names() }), 'a deleted service is not listed');

	$emulator->reset;
	ask('DELETE', $orders);
	refused('PATCH', $orders, {}, 404, qr/^NOT_FOUND: /);
	refused('DELETE', $orders, undef, 404, qr/^NOT_FOUND: /);

	$emulator->reset(transition_polls => 0);
	my $replica =
	  result('POST', "$orders/readReplica", { name => 'r' })->{id};
	refused('DELETE', $orders, undef, 400, qr/^BAD_REQUEST: .*replica/);
	is(scalar @{ names() }, 7, 'a parent stays while it has a replica');
	is(ask('DELETE', $emulator->postgres($replica))->{status},
		200, 'a replica is deleted');
	is(ask('DELETE', $orders)->{status}, 200, 'the parent is deleted then');
	is(scalar @{ names() }, 5, 'both are gone');
	refused('DELETE', $emulator->postgres('xyz'), undef, 400, qr/Invalid/);
};

subtest 'commands change the state' => sub {
	$emulator->reset;
	my $state = "$orders/state";
	is(result('PATCH', $state, { command => 'restart' })->{id},
		$TestEmulator::ORDERS, 'restart returns the service');
	is_deeply(reads($orders, 'state', 3),
		[qw(restarting restarting running)], 'a service restarts');
	my $answer = ask('PATCH', $state, { command => 'switchover' });
	is($answer->{status}, 200, 'a switchover with a standby is accepted');
	ok(!exists $answer->{json}{result}, 'a switchover has no result');
	is_deeply(
		reads($orders, 'state', 3),
		[qw(restarting restarting running)],
		'a switchover restarts the service');
	$emulator->control('POST', 'services/orders', { haType => 'none' });
	is(ask('PATCH', $state, { command => 'switchover' })->{status},
		200, 'a switchover without a standby is accepted');
	is_deeply(
		reads($orders, 'state', 3),
		[qw(restarting restarting running)],
		'a switchover without a standby replaces the primary');
	refused('PATCH', $state, { command => 'promote' }, 400, qr/replica/);

	my $replica =
	  result('POST', "$orders/readReplica", { name => 'r' })->{id};
	my $path = $emulator->postgres($replica);
	reads($path, 'state', 2);
	my $promoted = result('PATCH', "$path/state", { command => 'promote' });
	is($promoted->{id}, $replica, 'promote returns the service');
	ok(!exists $promoted->{isPrimary}, 'promote omits isPrimary');
	is_deeply(
		[ map { $_ ? 1 : 0 } @{ reads($path, 'isPrimary', 3) } ],
		[ 0, 0, 1 ],
		'a replica becomes a primary later');
	ok($emulator->get($orders)->{json}{result}{isPrimary},
		'the old primary stays one');
	is(ask('DELETE', $orders)->{status}, 200, 'a promoted replica does not keep its parent');

	refused('PATCH', "$path/state", $_->[0], 400, $_->[1])
	  for [ {}, qr/command is required/ ],
	  [ { command => 'stop' }, qr/none of/ ],
	  [ { command => 1 }, qr/string/ ],
	  [ { command => 'restart', x => 1 }, qr/validated: x/ ];
};

subtest 'a switchover can be ignored, and answered with the service' => sub {
	$emulator->reset(
		switchover => 'ignored',
		switchover_response => 'service',
		overrides => { orders => { haType => 'none' } });
	my $answer =
	  result('PATCH', "$orders/state", { command => 'switchover' });
	is($answer->{id}, $TestEmulator::ORDERS, 'the response is the service');
	is_deeply(reads($orders, 'state', 1), ['running'], 'the switchover does nothing');
	$emulator->reset;
};

subtest 'a command is queued for a while' => sub {
	my ($analytics) = grep { $_->{name} eq 'analytics' }
	  @{ $emulator->get($list)->{json}{result} };
	my $replica = $emulator->postgres($analytics->{id});
	my %commands = (
		restart => [ $orders, 'state', 'restarting' ],
		switchover => [ $orders, 'state', 'restarting' ],
		promote => [ $replica, 'isPrimary', 1 ]);
	for my $lag (1000, 0.2)
	{
		for my $command (sort keys %commands)
		{
			my ($path, $field, $value) = @{ $commands{$command} };
			$emulator->reset(command_lag => $lag, transition_polls => 3,
				now => '2026-06-01T12:00:00.000Z');
			my $before = reads($path, $field, 1)->[0];
			is(ask('PATCH', "$path/state", { command => $command })->{status},
				200, "$command is accepted, to begin after $lag s");
			is_deeply(reads($path, $field, 3), [ ($before) x 3 ],
				"$command has no effect before")
			  if $lag == 1000;
			ok(comes($path, $field, $value), "$command begins then") if $lag < 1;
		}
		$emulator->reset(command_lag => $lag);
		is(ask('DELETE', $replica)->{status}, 200, "a deletion is accepted, to begin after $lag s");
		is_deeply(reads($replica, 'state', 2), [qw(running running)],
			'a deletion has no effect before')
		  if $lag == 1000;
		ok(comes($replica, 'state', 'deleting'), 'a deletion begins then') if $lag < 1;
	}

	$emulator->reset(command_lag => 0.2);
	ask('PATCH', "$orders/state", { command => 'restart' });
	$emulator->control('POST', 'services/orders', { state => 'stopped' });
	sleep 1;
	is_deeply(reads($orders, 'state', 1), ['stopped'],
		'a state that is set stays, whatever was queued');
	ok(!eval { $emulator->reset(command_lag => $_); 1 }, "a lag of '$_' is refused")
	  for -1, 'soon', '';
	$emulator->reset;
};

# Reads a field until it has this value.
sub comes
{
	my ($path, $field, $value) = @_;
	for (1 .. 100)
	{
		my $found = reads($path, $field, 1)->[0];
		return 1 if defined $found && $found eq $value;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

subtest 'a password is made, or given' => sub {
	$emulator->reset;
	my $path = "$orders/password";
	my $first = result('PATCH', $path, {})->{password};
	my $second = result('PATCH', $path, {});
	for my $password ($first, $second->{password})
	{
		like($password, $_, 'a password has letters of both cases and digits')
		  for qr/^.{20}$/, qr/[a-z]/, qr/[A-Z]/, qr/\d/;
	}
	isnt($first, $second->{password}, 'each password is a new one');
	like(
		$second->{connectionString},
		qr/:\Q$second->{password}\E\@orders-/,
		'the connection string comes with the password');
	my $answer = ask('PATCH', $path, { password => 'Correct-horse-1' });
	is($answer->{status}, 200, 'a given password is accepted');
	unlike($answer->{content}, qr/result|horse/, 'a given password does not come back');
	refused('PATCH', $path, { password => $_->[0] }, 400, $_->[1])
	  for [ 'Short1', qr/characters/ ], [ 'Aa1' x 342, qr/characters/ ],
	  [ 'UPPERCASE-1234', qr/lowercase/ ],
	  [ 'lowercase-1234', qr/uppercase/ ],
	  [ 'Without-Digits', qr/digit/ ], [ 123456789012, qr/string/ ],
	  [ undef, qr/string/ ];
	refused('PATCH', $path, { pass => 1 }, 400, qr/validated: pass/);
	my $analytics = $emulator->get($list)->{json}{result}[2]{id};
	refused('PATCH', $emulator->postgres($analytics, 'password'),
		{}, 400, $REPLICA);

	my $journal =
	  $emulator->control('GET', 'journal?path=password')->{requests};
	is_deeply($journal->[0]{json}, {}, 'the journal has an empty body');
	is_deeply(
		$journal->[2]{json},
		{ password => 'Correct-horse-1' },
		'the journal has the given password');
	ask('PATCH', $path, '"x');
	my $last = $emulator->control('GET', 'journal')->{requests}[-1];
	is($last->{json}, undef, 'the journal has no JSON of a broken body');
	is($last->{body}, '"x', 'the journal has the broken body as a text');
};

subtest 'a read replica is made like its parent' => sub {
	$emulator->reset(backup_polls => 2);
	my $path = "$orders/readReplica";
	refused('POST', $path, {}, 400, qr/name is required/);
	refused('POST', $path, { name => 'r' }, 400, $NO_BACKUP) for 1 .. 2;
	my $replica = result('POST', $path,
		{ name => 'r', pgConfig => { work_mem => '8MB' } });
	is( "@$replica{qw(name state provider region size postgresVersion)}",
		'r creating aws us-west-2 r8gd.large 18',
		'a replica is like its parent');
	ok(defined $replica->{isPrimary} && !$replica->{isPrimary}, 'a replica is no primary');
	ok(!exists $replica->{password}, 'a replica has no password of its own');
	ok(!(grep { /parent/i } keys %$replica), 'a replica does not name its parent');
	my $own = $emulator->postgres($replica->{id});
	is_deeply(
		reads($own, 'state', 3),
		[qw(creating creating running)],
		'a replica runs after two reads');
	is($emulator->get("$own/config")->{json}{result}{pgConfig}{work_mem},
		'8MB', 'a replica has its configuration');
	refused('PATCH', $own, {}, 400, $REPLICA);
	refused('POST', "$own/readReplica", { name => 'r' }, 400, $REPLICA);
	refused('POST', $path, { name => 'r', size => 'r8gd.large' },
		400, qr/validated: size/);
	refused('POST', $path, { name => 'r', pgConfig => {} }, 400, qr/object/);

	$emulator->reset;
	my ($service, $young) = created();
	refused('POST', "$young/readReplica", { name => 'r' }, 400, $NO_BACKUP);
	reads($young, 'state', 3);
	is_deeply(result('GET', "$young/backups"), [], 'a young service has no backup');
	refused('POST', "$young/readReplica", { name => 'r' }, 400, $NO_BACKUP);
	$emulator->control('POST', "services/$service->{id}",
		{ createdAt => '2026-06-01T00:00:00.000Z' });
	result('POST', "$young/readReplica", { name => 'r' });
};

subtest 'a restored service is made like the original' => sub {
	$emulator->reset;
	my $path = "$orders/restoredService";
	my %wanted = (name => 'copy', restoreTarget => '2026-03-31T18:17:37Z');
	my $copy = result('POST', $path, \%wanted);
	is( "@$copy{qw(name state size haType)}",
		'copy creating r8gd.large sync',
		'the restored service is like the original');
	ok($copy->{isPrimary}, 'the restored service is a primary');
	like($copy->{password}, qr/^.{20}$/, 'the restored service has a password');
	is_deeply(
		reads($emulator->postgres($copy->{id}), 'state', 7),
		[
			(   map { ($_, $_) }
				  qw(creating restoring_backup finalizing_restore)),
			'running'
		],
		'the restored service passes through its states');
	is(ask('DELETE', $orders)->{status}, 200, 'the original can be deleted');
	$emulator->reset(now => '2026-06-01T12:00:00.000Z');
	result('POST', $path, { %wanted, restoreTarget => $_ })
	  for '2026-06-01T12:00:00Z', '2026-06-01T13:59:00.123+02:00',
	  '2026-06-01T10:00:00-02:00';
	refused('POST', $path, { %wanted, restoreTarget => $_ }, 400, qr/future/)
	  for '2026-06-01T12:00:01Z', '2026-06-01T10:00:01-02:00';
	refused('POST', $path, { %wanted, restoreTarget => $_ }, 400, qr/3339/)
	  for 'yesterday', '2026-06-01', '2026-06-01T12:00:00',
	  '2026-02-30T12:00:00Z', '2026-06-01 12:00:00Z';
	refused('POST', $path, { name => 'x' }, 400, qr/restoreTarget is requ/);
	refused('POST', $path, { %wanted, restoreTarget => 1 }, 400, qr/string/);
};

subtest 'a configuration is replaced or merged' => sub {
	$emulator->reset;
	my $path = "$orders/config";
	my $none = { pgConfig => {}, pgBouncerConfig => {} };
	is_deeply(result('GET', $path), $none, 'a service has no settings');
	my $answer = result(
		'POST', $path,
		{
			pgConfig => {
				work_mem => '64MB',
				random_page_cost => 1.1,
				'pg_stat.track' => 'all',
				jit => JSON::PP::false
			},
			pgBouncerConfig => { default_pool_size => 16 }
		});
	my $now = {
		pgConfig => {
			work_mem => '64MB',
			random_page_cost => '1.1',
			'pg_stat.track' => 'all',
			jit => 'off'
		},
		pgBouncerConfig => { default_pool_size => '16' }
	};
	is_deeply($answer, $now, 'values come back as strings');
	is_deeply(result('GET', $path), $now, 'settings stay');
	like($emulator->get($path)->{content},
		qr/"random_page_cost":"1\.1"/, 'numbers are quoted');

	$answer = result(
		'PATCH', $path,
		{
			pgConfig => { max_connections => 500, work_mem => undef },
			pgBouncerConfig => {}
		});
	is( $answer->{message},
		'These changes take effect after a restart: max_connections',
		'a setting may wait for a restart');
	delete $now->{pgConfig}{work_mem};
	$now->{pgConfig}{max_connections} = '500';
	is_deeply(result('GET', $path),
		$now, 'a PATCH merges: null removes, and {} leaves alone');
	$answer = result('PATCH', $path,
		{ pgConfig => { shared_buffers => '1GB' }, pgBouncerConfig => {} });
	like(
		$answer->{message},
		qr/max_connections, shared_buffers$/,
		'the message has all settings that wait');
	ask('PATCH', "$orders/state", { command => 'restart' });
	$answer = result('PATCH', $path,
		{ pgConfig => { shared_buffers => '1GB' }, pgBouncerConfig => {} });
	ok(!exists $answer->{message}, 'nothing waits after the restart');
	is_deeply(
		result(
			'POST', $path,
			{ pgConfig => {}, pgBouncerConfig => { a => 'b' } }),
		{
			pgConfig => {},
			pgBouncerConfig => { a => 'b' },
			message => 'These changes take effect after a restart: '
			  . 'max_connections, shared_buffers'
		},
		'an empty section of a POST clears it');

	for my $method (qw(POST PATCH))
	{
		refused($method, $path, $_->[0], 400, $_->[1])
		  for [ {}, qr/^BAD_REQUEST: .*pgConfig.*'undefined'/ ],
		  [ { pgConfig => { jit => 1 } }, qr/pgBouncerConfig.*'undefined'/ ],
		  [ { pgBouncerConfig => {} }, qr/pgConfig.*'undefined'/ ],
		  [ { %$none, pgConfig => { a => {} } }, qr/string or a number/ ],
		  [ { %$none, pgConfig => { a => [] } }, qr/string or a number/ ],
		  [ { %$none, pgConfig => [] }, qr/pgConfig is an object/ ],
		  [ { %$none, pgConfig => { 'a b' => 1 } }, qr/validated: a b/ ],
		  [ { %$none, pgConfig => { max_connections => 'x' } }, qr/integer/ ],
		  [ { %$none, x => {} }, qr/validated: x/ ];
	}
	refused('POST', $path, { %$none, pgConfig => { a => undef } },
		400, qr/string/);
	for my $case (
		[ nix => 1, 'Unknown configuration parameter' ],
		[ max_connections => 0, 'must be between 1 and 262143' ],
		[ max_connections => '10MB', 'must be an integer' ],
		[ work_mem => 63, 'must be between 64 and 2147483647' ],
		[ work_mem => 'much', 'must be an integer' ],
		[ work_mem => '', 'Value cannot be empty' ],
		[ effective_cache_size => 7, 'must be between 8 and 2147483647' ],
		[ random_page_cost => 'x', 'must be a float' ],
		[ random_page_cost => -0.5, 'must be between 0 and 1.79769e+308' ],
		[ wal_compression => 'zip', 'must be one of: off, on, lz4, zstd' ],
		[ jit => 'maybe', "must be 'on' or 'off'" ])
	{
		my ($name, $value, $text) = @$case;
		refused('PATCH', $path, { %$none, pgConfig => { $name => $value } },
			400, "BAD_REQUEST: request body.pgConfig.$name: $text");
	}
	# The document's examples, and others that PostgreSQL takes
	my %fine = (
		work_mem => '4MB', random_page_cost => 1.1, statement_timeout => '60s',
		idle_session_timeout => '2m', wal_keep_size => '1GB',
		max_slot_wal_keep_size => '-1', autovacuum_vacuum_cost_limit => '-1',
		autovacuum_work_mem => '64000kB', wal_compression => 'off',
		autovacuum_vacuum_cost_delay => '2ms', effective_io_concurrency => 200,
		default_transaction_isolation => 'read committed',
		autovacuum => 'of', search_path => '"$user", public', 'any.thing' => 'x');
	my $taken = result('PATCH', $path, { %$none, pgConfig => \%fine })->{pgConfig};
	is($taken->{$_}, $fine{$_}, "$_ = $fine{$_}") for sort keys %fine;
	my (undef, $own) = created(pgConfig => { max_connections => 50 });
	is_deeply(
		result('GET', "$own/config"),
		{ pgConfig => { max_connections => '50' }, pgBouncerConfig => {} },
		'a creation takes settings');
};

subtest 'an empty section can be refused' => sub {
	$emulator->reset(empty_section => 'refused');
	my $path = "$orders/config";
	my %set = (pgConfig => { work_mem => '8MB' });
	my $error = qr/body\.pgBouncerConfig is an object with settings/;
	refused($_, $path, { %set, pgBouncerConfig => {} }, 400, $error)
	  for qw(PATCH POST);
	refused('PATCH', $path, \%set, 400, qr/pgBouncerConfig is an object/);
	is_deeply($emulator->get($path)->{json}{result}{pgConfig},
		{}, 'a refused change changes nothing');
	result('PATCH', $path,
		{ %set, pgBouncerConfig => { default_pool_size => '16' } });
	$emulator->reset;
};

subtest 'certificates are a PEM bundle' => sub {
	$emulator->reset;
	my $answer = $emulator->get("$orders/caCertificates");
	is($answer->{headers}{'content-type'},
		'application/x-pem-file', 'the content type is that of PEM');
	like($answer->{headers}{'content-disposition'}, qr/\.pem/, 'the response has a file name');
	my @certificates = $answer->{content} =~
	  /-----BEGIN CERTIFICATE-----\n[\w+\/=\n]+-----END CERTIFICATE-----\n/g;
	is(scalar @certificates, 2, 'a bundle has two certificates');
	is(join('', @certificates), $answer->{content}, 'a bundle has nothing else');
	my ($service, $young) = created();
	refused('GET', "$young/caCertificates", undef, 404,
		"NOT_FOUND: $service->{id}");
	reads($young, 'state', 2);
	is($emulator->get("$young/caCertificates")->{status}, 200, 'a running service has certificates');
};

subtest 'a control route changes services' => sub {
	$emulator->reset(service_names => 'any');
	my ($service, $path) = created(name => "caf\x{e9} 1/2");
	$emulator->control('POST', "services/$service->{id}",
		{ state => 'unavailable', hostname => undef, new => { a => 1 } });
	is_deeply(
		reads($path, 'state', 4),
		[ ('unavailable') x 4 ],
		'a state that is set stays');
	my $read = $emulator->get($path)->{json}{result};
	ok(!exists $read->{hostname}, 'null removes a field');
	is_deeply($read->{new}, { a => 1 }, 'a new field is added');
	$emulator->control('POST', 'services/caf%C3%A9%201%2F2',
		{ state => 'stopped' });
	is_deeply(reads($path, 'state', 1), ['stopped'], 'a service is found by its name');
	is( system($^X, "$FindBin::RealBin/../ctl", 'set',
			"caf\xc3\xa9 1/2",
			'{"state":"running","id":"x-1"}'),
		0, 'ctl sets fields');
	is_deeply(reads($emulator->postgres('x-1'), 'state', 1),
		['running'], 'what ctl sets is read');
	is($emulator->get($list)->{json}{result}[6]{state},
		'running', 'what ctl sets is in the list');
	created(name => 'orders');

	for my $bad (
		[ 'nix', '{}', qr/no service/ ],
		[ 'orders', '{}', qr/several/ ],
		[ 'billing', '[]', qr/JSON object/ ],
		[ 'billing', '{"state":null}', qr/needs its state/ ])
	{
		my ($name, $body, $error) = @$bad;
		my $answer =
		  $emulator->{http}->post("$emulator->{url}/_emulator/services/$name",
			{ content => $body });
		is($answer->{status}, 400, "$name is not set to $body");
		like($answer->{content}, $error, 'the refusal says why');
	}
	for
	  my $option (qw(transition_polls apply_polls backup_polls max_services))
	{
		my $answer = $emulator->{http}->post(
			"$emulator->{url}/_emulator/reset",
			{ content => qq({"$option":-1}) });
		is($answer->{status}, 400, "$option is a count");
	}
};

# Sends a write on a connection of its own, and waits until it has arrived, and then for its end.
sub lost
{
	my $before = $emulator->control('GET', 'count');
	my $socket = IO::Socket::INET->new("127.0.0.1:" . $emulator->port) or die;
	my $body = encode_json(\%new);
	print $socket "POST $list HTTP/1.1\r\nHost: x\r\n"
	  . "Authorization: $TestEmulator::AUTHORIZATION\r\n"
	  . "Content-Type: application/json\r\n"
	  . 'Content-Length: '
	  . length($body)
	  . "\r\n\r\n$body";
	$socket->flush;
	select undef, undef, undef, 0.01 while $emulator->control('GET', 'count') == $before;
	IO::Select->new($socket)->can_read(0.2);
	return;
}

subtest 'a lost response is one of a change that happened, or not' => sub {
	my $count = 6;
	$emulator->reset;
	for my $fault (
		{ close => \1 },
		{ reset => 'before' },
		{ hang => \1 },
		{ latency_ms => 400 },
		{ status => 502, body => '<html>', content_type => 'text/html' },
		{ status => 500 },
		{ garbage => \1 },
		{ oversize_bytes => 5000 },
		{ redirect => 'http://127.0.0.1:1/' })
	{
		my $shown = join ' ', sort keys %$fault;
		$emulator->fault(method => 'POST', %$fault);
		lost();
		is(scalar @{ names() }, $count, "$shown: not carried out");
		$emulator->fault(method => 'POST', %$fault, carry_out => \1);
		lost();
		is(scalar @{ names() }, ++$count, "$shown: carried out");
	}
	select undef, undef, undef, 0.5;
	is(scalar @{ names() }, $count, 'no change happens later');

	$emulator->fault(
		status => 502,
		body => '<html>',
		carry_out => \1,
		method => 'DELETE');
	my $answer = ask('DELETE', $orders);
	is("$answer->{status} $answer->{content}", '502 <html>', "a proxy's error replaces the response");
	is_deeply(reads($orders, 'state', 1), ['deleting'], 'the service is deleted all the same');

	$emulator->fault(
		latency_ms => 100,
		carry_out => \1,
		method => 'POST');
	my $service = result('POST', $list, \%new);
	is($service->{state}, 'creating', 'a late response is the real one');
	is(scalar @{ names() }, ++$count, 'a change with a late response is carried out once');
	$emulator->fault(status => 201, patch => { x => 1 }, carry_out => \1);
	$answer = ask('POST', $list, \%new);
	is("$answer->{status} $answer->{json}{x}", '201 1', 'a patched response has the patch');
	$emulator->control('DELETE', 'faults');
	is(scalar @{ names() }, ++$count, 'a change with a patched response is carried out once');
	my $alone = $emulator->{http}->post(
		"$emulator->{url}/_emulator/faults",
		{ content => '{"carry_out":true}' });
	is($alone->{status}, 400, 'carry_out alone is no fault');
};

done_testing();
