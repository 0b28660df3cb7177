# A role that is no superuser watches and delivers, with the grants that docs/alerts.md names, and in the time that it
# has for that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clock;
use ChpgTest::Receiver;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

begin_clock(strftime('%Y-%m-%d %H:%M', gmtime));
my $receiver = start_receiver();
my $node = start_node('main', "chpg.webhook_addresses = '127.0.0.1'");

# The statements of the superuser's example below a heading of a page
sub documented
{
	my ($page, $heading) = @_;
	my ($example) = slurp_file("$FindBin::RealBin/../../docs/$page") =~ /^## \Q$heading\E\n.*?^```sql\n-- as a superuser\n(.*?)^```/ms or die "no such example: $heading";
	return $example;
}

sql(q{CREATE EXTENSION chpg; CREATE ROLE collector LOGIN; CREATE SERVER chpg FOREIGN DATA WRAPPER chpg});
sql(documented('history.md', 'Give it to a role that is not a superuser'));
sql(documented('alerts.md', 'Deliver as a role that is not a superuser'));

# the receiver's certificate is of no public CA
sql('GRANT pg_read_server_files TO collector');
as_role('collector', "SELECT chpg_create_webhook('ops', 'json', '$receiver->{url}/ops', 'secret', ca_file => '$receiver->{ca_file}')");
is(as_role('collector', q{SELECT chpg_test_webhook('ops')}), '200', 'the role tests a webhook');
as_role('collector', 'CALL chpg_watch()');
as_role('collector', q{INSERT INTO fleet_history.alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level) VALUES (gen_random_uuid(), now(), now(), 'new', 'inc-1', 'f', 'CHPG501', 'incident', 'WARN');
	INSERT INTO fleet_history.alert_delivery (alert_id, webhook, state, attempts, next_try) SELECT alert_id, 'ops', 'pending', 0, now() FROM fleet_history.alert});
$receiver->forget;
as_role('collector', 'CALL chpg_deliver()');
is(scalar($receiver->requests), 1, 'delivers');
is(as_role('collector', q{UPDATE fleet_history.alert_delivery SET state = 'dead'; SELECT chpg_redeliver()}), '1', 'and has dead letters sent again');
as_role('collector', 'CALL chpg_watch()');
is(scalar($receiver->requests), 2, 'as a watch does, too');
is(as_role('collector', 'SELECT problem FROM chpg_self'), 'nothing was captured yet', 'and it is told that nothing was captured');

# A receiver that takes long: each request until a minute later by the clock.  No request begins after the time is over.
as_role('collector', "SELECT chpg_create_webhook('$_', 'json', '$receiver->{url}/$_', ca_file => '$receiver->{ca_file}')") for qw(b c d);

sub sent_in_time
{
	my ($call, $requests) = @_;
	as_role('collector', q{UPDATE fleet_history.alert_delivery SET state = 'sent';
		INSERT INTO fleet_history.alert_delivery (alert_id, webhook, state, attempts, next_try) SELECT alert_id, w, 'pending', 0, now() FROM fleet_history.alert, unnest('{b,c,d}'::text[]) w ON CONFLICT (alert_id, webhook) DO UPDATE SET state = 'pending', attempts = 0, next_try = now()});
	$receiver->forget;
	$receiver->answer_with(('held') x 3);
	my $session = open_session($node);
	in_session($session, 'SET SESSION AUTHORIZATION collector');
	begin_in_session($session, $call);
	for my $n (1 .. $requests)
	{
		wait_until(sub { $receiver->requests >= $n }, "request $n of $call is sent");
		advance_clock($node, '2 minutes');
		$receiver->release;
	}
	in_session($session, 'SELECT 1');
	$session->quit;
	return sql(q{SELECT webhook, state, attempts FROM fleet_history.alert_delivery WHERE webhook <> 'ops' ORDER BY 1}) =~ s{\n}{ }gr;
}

is(sent_in_time('CALL chpg_deliver(50)', 1), 'b|sent|1 c|pending|0 d|pending|0', 'a delivery ends when its time is over');
is(sent_in_time('CALL chpg_watch()', 2), 'b|sent|1 c|sent|1 d|pending|0', 'so does that of a watch, which delivers before and after it reads notifications');

sql('CREATE ROLE mallory LOGIN');
fails_as('mallory', "CALL $_", '42501', qr/permission denied/, "another role may not: $_") for 'chpg_deliver()', q{_chpg_post_webhook_alone('ops', '{}', 'k', NULL)};

done_testing();
