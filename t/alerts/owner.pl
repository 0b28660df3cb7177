# A role that is no superuser watches and delivers, with the grants that docs/alerts.md names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Receiver;
use PostgreSQL::Test::Utils;
use Test::More;

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

sql('CREATE ROLE mallory LOGIN');
fails_as('mallory', "CALL $_", '42501', qr/permission denied/, "another role may not: $_") for 'chpg_deliver()', q{_chpg_post_webhook_alone('ops', '{}', 'k', NULL)};

done_testing();
