# Organizations and services: what a client reads, and the oddities it meets.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use TestEmulator;

my $emulator = start_emulator();

my $organizations = $emulator->get('/v1/organizations');
is($organizations->{status}, 200, 'the list of organizations is answered');
is($organizations->{headers}{'content-type'},
	'application/json', 'the content type is JSON');
like($organizations->{json}{requestId}, qr/^[0-9a-f-]{36}$/, 'a response has a request id');
my ($organization) = @{ $organizations->{json}{result} };
is_deeply(
	$emulator->get("/v1/organizations/$organization->{id}")->{json}{result},
	$organization, 'a single organization is as in the list');
is($organization->{name}, 'Acme Analytics', 'an organization has its name');
is_deeply(
	[ sort keys %$organization ],
	[qw(byocConfig createdAt enableCoreDumps id name privateEndpoints)],
	'an organization has all documented fields');

my $whoami = $emulator->get('/v1/whoami')->{json}{result};
is($whoami->{organizationId}, $organization->{id}, 'whoami names the organization of the list');
my %members = (
	apiKey => [qw(actorType keyId name organizationId)],
	user => [qw(actorType email name organizations userId)],
	service => [qw(actorType name serviceAccountId)]);
for my $type (sort keys %members)
{
	$emulator->reset(whoami => $type);
	my $actor = $emulator->get('/v1/whoami')->{json}{result};
	is_deeply([ sort keys %$actor ], $members{$type}, "whoami has the members of actor type $type");
}
$emulator->reset(whoami => 'unknown');
is($emulator->get('/v1/whoami')->{status}, 404, 'an older deployment has no whoami');

$emulator->reset(max_services => 6);
my $quotas = "/v1/organizations/$organization->{id}/quotas";
my %quota =
  map { $_->{quotaCode} => $_ } @{ $emulator->get($quotas)->{json}{result} };
is_deeply(
	[ @{ $quota{'postgres-services-per-organization'} }{qw(value usage)} ],
	[ 6, 6 ],
	'a full quota has its value as usage');
ok(!exists $quota{'replicas-per-warehouse'}{usage}, 'a quota that is not counted omits its usage');
is($emulator->get("$quotas/api-keys-per-organization")->{json}{result}{value},
	100, 'a quota is found by its code');
is($emulator->get("$quotas/none")->{status}, 404, 'an unknown quota is not found');
$emulator->reset;

my $list = $emulator->get($emulator->postgres)->{json}{result};
is_deeply([ map { $_->{name} } @$list ],
	[qw(orders billing analytics sessions inventory search)], 'the list has the six services in order');
is($list->[0]{id}, $TestEmulator::ORDERS, 'the first service has the documented id');
my $uuid = qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
is(scalar(grep { $_->{id} =~ $uuid } @$list), 3, 'half of the ids are UUIDs');
is(scalar(grep { $_->{id} =~ /^pg[a-z0-9]{24}$/ } @$list), 3, 'the other half begin with pg');
ok(!(grep { exists $_->{hostname} || exists $_->{username} } @$list),
	'list items omit host and user name');
is(scalar(grep { exists $_->{storageSize} } @$list),
	3, 'half of the list items have a storage size');
is(scalar(grep { !exists $_->{isPrimary} } @$list),
	1, 'one service omits isPrimary');
is(scalar(grep { !exists $_->{tags} } @$list), 1, 'one service omits its tags');
is(scalar(grep { defined $_->{isPrimary} && !$_->{isPrimary} } @$list),
	1, 'one service is a replica');
is(scalar(grep { $_->{createdAt} =~ /\+00:00$/ } @$list),
	1, 'one creation time ends in +00:00');

my $answer = $emulator->get($emulator->postgres($list->[0]{id}));
like($answer->{content}, qr/"status":200\.0\}$/, 'the status of a single service is 200.0');
my $service = $answer->{json}{result};
like($service->{hostname}, qr/^orders-.*\Q$list->[0]{id}\E/, 'the host name has the name and id of the service');
is($service->{username}, 'postgres', 'the user is postgres');
ok(!exists $service->{password} && !exists $service->{connectionString},
	'reads show neither password nor connection string');

my $other = start_emulator('--seed', 2, '--services', 9);
my $others = $other->get($other->postgres)->{json}{result};
is($others->[8]{name}, 'svc-009', 'further services have made-up names');
isnt($other->{organization}, $emulator->{organization}, 'another seed makes another organization');

# Backups: pages by cursor, read replicas, limits, the earliest restore time
my $now = '2026-06-30T12:00:30.000Z';
my %old = (orders => { createdAt => '2024-01-01T00:00:00.000Z' });
my $orders = $emulator->postgres . "/$TestEmulator::ORDERS";
$emulator->reset(now => $now, backups => 6, overrides => \%old);
my $backups = $emulator->get("$orders/backups")->{json};
is(scalar @{ $backups->{result} }, 6, 'each day has a backup');
is_deeply([ @$backups{qw(limit totalCount nextCursor)} ], [ 100, 6, undef ], 'limit, count and cursor stand beside the result');
my $page = $emulator->get("$orders/backups?limit=4")->{json};
my $cursor = $page->{nextCursor} =~ s/([^\w])/sprintf '%%%02X', ord $1/egr;
unlike($page->{nextCursor}, qr/^\d+$/, 'a cursor is no offset');
my $rest = $emulator->get("$orders/backups?limit=4&cursor=$cursor")->{json};
is_deeply([ map { @{ $_->{result} } } $page, $rest ], $backups->{result}, 'two pages have all backups');
is($rest->{nextCursor}, undef, 'the last page has no cursor');
is($emulator->get("$orders/backups?cursor=4")->{status}, 400, 'a cursor of another list is refused');
is($emulator->get("$orders/backups?limit=101")->{status}, 400, 'a limit out of range is refused');
my ($replica) = map { $_->{id} } grep { $_->{name} eq 'analytics' } @$list;
is_deeply($emulator->get($emulator->postgres . "/$replica/backups")->{json}{result}, [], 'a replica has no backups');
my $oldest = $backups->{result}[-1]{lastModified} =~ s/:07:17Z/:12:17.000Z/r =~ s/:02:17Z/:07:17.000Z/r;
is($emulator->get($orders)->{json}{result}{earliestRestoreTime}, $oldest, 'the earliest restore time is 5 minutes after the oldest backup');
$emulator->reset(now => $now, bad_limit => 'clamped', replica_backups => 'refused', earliest_restore_time => 'null');
is($emulator->get("$orders/backups?limit=101")->{json}{limit}, 100, 'a limit out of range can be clamped instead');
is($emulator->get($emulator->postgres . "/$replica/backups")->{status}, 400, 'backups of a replica can be refused instead');
my $shown = $emulator->get($orders)->{json}{result};
ok(exists $shown->{earliestRestoreTime} && !defined $shown->{earliestRestoreTime}, 'the earliest restore time can be null');
$emulator->reset(earliest_restore_time => 'absent');
ok(!exists $emulator->get($orders)->{json}{result}{earliestRestoreTime}, 'the earliest restore time can be absent');
ok(!eval { $emulator->reset(bad_limit => 'odd') }, 'an unknown value of an option is refused');

# A service that is not running answers no other reads, or does.
my ($stopped) = map { $emulator->postgres . "/$_->{id}" } grep { $_->{state} eq 'stopped' } @$list;
my $window = 'from_date=2026-06-30T00:00:00.000Z&to_date=2026-06-30T01:00:00.000Z';
my @reads = ('config', 'backups', 'prometheus', "metrics?$window", "logs?$window", "slowQueryPatterns?$window");
for my $case ([ answered => 200 ], [ refused => 400 ], [ unavailable => 503 ])
{
	$emulator->reset(now => $now, not_running => $case->[0]);
	is_deeply([ map { $emulator->get("$stopped/$_")->{status} } @reads ], [ ($case->[1]) x @reads ], "reads of a stopped service are $case->[0]");
	is($emulator->get($stopped)->{status}, 200, 'the stopped service itself is shown');
	is($emulator->get("$orders/config")->{status}, 200, 'a running service answers');
}

# The exposition of the organization need not be enabled.
$emulator->reset(prometheus_of_all => 'not_set_up');
like($emulator->get($emulator->postgres . '/prometheus')->{json}{error}, qr/^FORBIDDEN: .* has not been setup/, 'the exposition of the organization may not be set up');
$emulator->reset(prometheus_of_all => 'early_access');
is($emulator->get($emulator->postgres . '/prometheus')->{json}{error}, 'FORBIDDEN: early access API endpoint', 'the exposition of the organization may be early access');
is($emulator->get("$orders/prometheus")->{status}, 200, 'the exposition of a service is answered all the same');
$emulator->reset;

done_testing();
