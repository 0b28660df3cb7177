# The organization's own notifications are alerts, each of them once, for webhooks of kind "notification".

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Alerts;
use ChpgTest::Receiver;
use JSON::PP;
use Test::More;

my $JSON = JSON::PP->new->canonical;
my $receiver = start_receiver();
my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'chpg.cache_ttl = 0', 'chpg.max_retries = 0', "chpg.webhook_addresses = '127.0.0.1'");

sql(connect_sql($url));
plant_findings($node);

sub create { my ($name, $more) = @_; return sql("SELECT chpg_create_webhook('$name', 'json', '$receiver->{url}/$name', ca_file => '$receiver->{ca_file}'" . ($more // '') . ')') }
sub watch { return notices($node, 'CALL chpg_watch()') =~ s/^.*the history has no hour to judge\n?//mr }

# What the receiver got since the last call: path, level and title of each
sub received
{
	my @all = map { my $b = $JSON->decode($_->{body}); "$_->{path} $b->{level} $b->{title}" } $receiver->requests;
	$receiver->forget;
	return join ', ', @all;
}

my $now = time;
sub at { my ($hours) = @_; my @t = gmtime($now + 3600 * $hours); return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0] }

# From now on, the API has these notifications: a list of id, severity, title, hours from now or a text, and more.
sub has
{
	clear_faults($url);
	my @list = map { my ($id, $severity, $title, $at, %more) = @$_; { id => $id, severity => $severity, title => $title, createdAt => $at =~ /^-?[0-9.]+$/ ? at($at) : $at, %more } } @_;
	fault($url, path => 'notifications$', body => $JSON->encode({ result => \@list, status => 200 }));
	return;
}

# Folding in is off until a webhook wants it
my @old = ([ 'a', 'warning', 'Old', -2 ], [ 'b', 'critical', 'Without a time', 'yesterday' ], [ 'c', 'critical', 'Of the far future', '9999-12-31T00:00:00Z' ]);
has(@old);
create('all');
is(costs($node, $url, 'CALL chpg_watch()', 0, 'a watch without such a webhook'), '', 'nothing is read');
create('ops', q{, kind => 'notification'});
is(costs($node, $url, 'CALL chpg_watch()', 1, 'a watch with one'), '', 'the notifications are read');
is(received(), '', 'those that are there when folding in begins are sent to nobody');
is(watch() . received(), '', 'nor later');
is(sql('SELECT DISTINCT kind, transition FROM kept.alert'), 'notification|known', 'and readers of the table can tell them');

# A new one is sent once, whatever its time, its place in the list, and the list that it is in
has([ 'd', 'critical', 'Backup failed', -0.1, type => 'service_backup_failed', message => 'No backup for a day.', resourceType => 'postgres', resourceId => 'pg1', resourceName => 'x' ],
	@old, [ 'e', 'info', 'Maintenance', -0.1 ], [ 'f', 'warning', 'Late', -30 ], [ 'd', 'warning', 'Repeated', -0.1 ], [ 'g', 'novel', 'Timeless', 'today' ]);
is(watch() . received(), '/ops ERROR Backup failed, /ops WARN Late, /ops WARN Timeless', 'each new one is sent, the worst first; not those of severity info');
is(watch() . received(), '', 'once');
has(map { [ $_, 'warning', 'Changed', -0.1 ] } qw(g d f a b c));
is(watch() . received(), '', 'whatever it says later');
has([ 'f', 'info', 'Less', -0.1 ], map { [ $_, 'critical', "Worse $_", -0.1 ], [ $_, 'warning', "Repeated $_", -0.1 ] } qw(d b c a g));
is(watch() . join(', ', sort split /, /, received()), '/ops ERROR Worse a, /ops ERROR Worse g', 'but for one that becomes critical');
is(sql(q{SELECT DISTINCT transition FROM kept.alert WHERE title ~ 'Worse'}), 'worse', 'which is worse');
has(map { [ $_, $_ eq 'a' ? 'critical' : 'warning', 'Again', -0.1 ] } qw(a g));
is(watch() . received(), '', 'once');
is(sql(q{SELECT transition, kind, level, rule_id, service_id, service_name, since IS NOT NULL, title, symptom FROM kept.alert WHERE title = 'Backup failed'}),
	'new|notification|ERROR|service_backup_failed|pg1|service 1|t|Backup failed|No backup for a day.', 'what an alert says of it');
is(sql(q{SELECT string_agg(title, ', ' ORDER BY title) FROM kept.alert WHERE since IS NULL}), 'Of the far future, Timeless, Without a time', 'an impossible time is none');
is(sql(q{SELECT state, count(*), count(DISTINCT a.alert_key) FROM kept.alert_delivery d JOIN kept.alert a USING (alert_id) GROUP BY 1}), 'sent|5|5', 'and what became of it');

# Findings are judged beside them, and end nothing of theirs
sql(find_sql('pg2', 'WARN', 7, 9));
watch_at($_) for 7 .. 12;
is(sql(q{SELECT string_agg(transition, ' ' ORDER BY alert_id) FROM kept.alert WHERE kind = 'incident'}) . sql(q{SELECT count(*) FROM kept.alert WHERE kind = 'notification' AND transition NOT IN ('known', 'new', 'worse')}),
	'new resolved0', 'a notification has no end');
watch();
is(received() =~ s/ Title.*?(?=,|$)//gr, '/all WARN, /all WARN', 'a webhook that takes any kind gets incidents and risks only');

# Texts of others, and items that say nothing
has([ "h\x{0}" x 5000, 'WARNING', "a\n\x{202e}\x{7}<!here>" . 'b' x 10000, -0.1, type => "t\r\nx" x 500, message => "m\n" x 50000, resourceId => 'r' x 5000, resourceName => "n\n" x 5000 ],
	[ undef, 'warning', 'No id', -0.1 ], [ undef, undef, undef, 'x' ], [ { a => 1 }, [ 7 ], 7, -0.1 ]);
my $warned = watch();
unlike($warned, qr/watched without/, 'hostile texts');
my @bodies = map { $JSON->decode($_->{body}) } $receiver->requests;
$receiver->forget;
ok(!grep({ /[\x00-\x1f\x{202e}]/ || length > 500 } map { grep { defined } @$_{qw(incident_id finding_key rule_id service_id service_name title symptom)} } @bodies), 'are short lines without controls');
cmp_ok(scalar(@bodies), '>=', 2, 'and are sent');
is(watch() . received(), $warned, 'once');

# The API fails: the watch does not
clear_faults($url);
fault($url, path => 'notifications$', status => 500);
like(watch(), qr/WARNING:  watched without the organization's notifications: .*the API failed\nHINT:  The next watch reads them again/, 'a failure is a warning');
clear_faults($url);
fault($url, path => 'notifications$', status => 404);
like(watch(), qr/WARNING:  watched without .*: .*the API does not have this operation/, 'so is an older deployment');
has([ 'i', 'warning', 'After it', -1 ]);
is(watch() . received(), '/ops WARN After it', 'it goes on next time');

# More than are read
has(map { [ "i$_", 'info', 'One of many', -1 ] } 1 .. 1000);
like(watch(), qr/^(?:psql:\S+ )?WARNING:  the organization has 1000 or more notifications of seven days: older ones may have raised no alert$/m, 'a list that may leave some out is a warning');
has(map { [ "i$_", 'info', 'One of many', -1 ] } 1 .. 999);
is(watch(), '', 'a shorter one is none');

# An API that does not answer holds back no alert of what was found.
clear_faults($url);
fault($url, path => 'notifications$', hang => JSON::PP::true);
sql(find_sql('pg3', 'WARN', 13));
watch_at(13);
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
begin_in_session($session, 'CALL chpg_watch()');
wait_until(sub { scalar $receiver->requests }, 'an alert is sent');
is(sql("SELECT state FROM pg_stat_activity WHERE pid = $pid") . ' ' . received() =~ s/ Title.*//r, 'active /all WARN', 'alerts are sent before notifications are read');
sql("SELECT pg_cancel_backend($pid)");
$session->quit;
clear_faults($url);

# In a transaction block, a watch sends no request.
has([ 'j', 'warning', 'Block', -1 ]);
costs($node, $url, 'BEGIN; CALL chpg_watch(); COMMIT', 0, 'a watch in a transaction block');

# A capture that watches reads them, too; without a webhook for them, folding in ends, and begins anew later
sql(q{UPDATE kept.setting SET value = 'on' WHERE name = 'watch'; UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'});
notices($node, q{CALL chpg_capture('hour', max_windows => 1)});
is(sql(q{SELECT count(*) FROM kept.alert WHERE title = 'Block'}), '1', 'a capture that watches reads them, too');
watch();
received();
sql(q{SELECT chpg_drop_webhook('ops')});
has([ 'k', 'warning', 'Unwanted', -1 ]);
watch();
is(sql('SELECT count(*) FROM kept.notification_state'), '0', 'without a webhook for them, folding in ends');
create('ops', q{, kind => 'notification'});
is(watch() . received(), '', 'and begins anew later');

# The API shows a notification for half a year, in which it must not be sent anew
sql(q{UPDATE kept.setting SET value = '100 days' WHERE name = 'keep_day'});
for my $case ([ 199, 't' ], [ 201, 'f' ])
{
	my ($days, $is_kept) = @$case;
	sql("UPDATE kept.alert SET noted_at = now() - interval '$days days' WHERE kind = 'notification'");
	watch();
	is(sql(q{SELECT count(*) > 0 FROM kept.alert WHERE kind = 'notification' AND noted_at < now() - interval '100 days'}), $is_kept, "whether one of $days days ago is known");
}

# PagerDuty opens an incident; another role's webhook costs the owner no request
is(sql(q{SELECT _chpg_alert_body('pagerduty', jsonb_build_object('transition', 'new', 'incident_id', 'ntf-1', 'level', 'ERROR'))::jsonb->>'event_action'}), 'trigger', 'in PagerDuty it is an incident');
is(sql(q{SELECT string_agg(_chpg_alert_body('pagerduty', jsonb_build_object('transition', 'new', 'incident_id', 'ntf-1', 'level', l))::jsonb#>>'{payload,severity}', ', ') FROM unnest('{ERROR,WARN}'::text[]) l}), 'critical, warning', 'of its level');
sql(q{SELECT chpg_drop_webhook('ops'); CREATE ROLE mallory LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO mallory});
as_role('mallory', q{SELECT chpg_create_webhook('hers', 'json', 'https://x.example/', kind => 'notification')});
costs($node, $url, 'CALL chpg_watch()', 0, 'a watch with a webhook of a role without rights');

done_testing();
