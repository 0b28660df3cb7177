# Alerts: transitions of incidents are written once, and reach a receiver at least once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Alerts;
use ChpgTest::Receiver;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = start_receiver();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off', "chpg.webhook_addresses = '127.0.0.1'", 'restart_after_crash = on');

plant_findings($node);

sub create { my ($name, $more) = @_; return sql("SELECT chpg_create_webhook('$name', 'json', '$receiver->{url}/$name', ca_file => '$receiver->{ca_file}'" . ($more // '') . ')') }
sub alerts { my ($more) = @_; return sql("SELECT transition, level, service_id FROM kept.alert ORDER BY alert_id" . ($more // '')) =~ s/\n/ /gr }
sub deliveries { my ($columns) = @_; return sql("SELECT $columns FROM kept.alert_delivery ORDER BY alert_id, webhook") =~ s/\n/ /gr }
sub deliver { return notices($node, 'CALL chpg_deliver()') }

# What the receiver got since the last call: path, transition and service of each
sub received
{
	my @all = map { my $b = decode_json($_->{body}); "$_->{path} $b->{transition} $b->{service_id}" } $receiver->requests;
	$receiver->forget;
	return join ', ', @all;
}

# Forget all, but what is found
sub start_anew { $receiver->forget; return sql('TRUNCATE kept.alert, kept.alert_delivery, kept.finding_log, kept.finding_mute, planted.candidate') }

# The outbox, and listeners
sql(find_sql('pg1', 'WARN', 7, 10) . find_sql('pg1', 'ERROR', 10, 12) . find_sql('pg2', 'INFO', 7, 12) . find_sql('pg3', 'WARN', 7, 12, kind => 'opportunity')
	. find_sql('pg4', 'WARN', 7, 12));
sql(q{SELECT chpg_mute('CHPG501:["pg4", "7", "d", "u", "SELECT", "web"]', 'accepted_risk')});
is(watch_at(6) . alerts(), '0|0|0', 'nothing is found');
watch_at(7);
is(alerts(), 'new|WARN|pg1', 'an incident is new; INFO, opportunities and muted incidents raise no alert');
watch_at($_) for 7, 8;
is(alerts(), 'new|WARN|pg1', 'once');
watch_at(10);
watch_at(10);
is(alerts(), 'new|WARN|pg1 worse|ERROR|pg1', 'it gets worse, once');
watch_at(11);
is(alerts(), 'new|WARN|pg1 worse|ERROR|pg1', 'and goes on');
watch_at($_) for 12, 13;
is(alerts(), 'new|WARN|pg1 worse|ERROR|pg1 resolved|ERROR|pg1', 'until it is resolved');
watch_at($_) for 9, 13, 14;
is(alerts(), 'new|WARN|pg1 worse|ERROR|pg1 resolved|ERROR|pg1', 'once');
is(sql(q{SELECT count(DISTINCT incident_id), count(DISTINCT alert_key), min(title), min(symptom), min(action) FROM kept.alert}), '1|3|Title of CHPG501|3000 after 1000|do', 'an incident, and what an alert says');
is(sql(q{SELECT symptom FROM kept.alert WHERE transition = 'resolved'}), 'It is over: found from 2026-05-11 09:00Z to 2026-05-11 11:00Z, for 2 h. It was: 3000 after 1000', 'the end says from when to when it was found');
is(sql('SELECT as_of FROM kept.watch_state'), '2026-05-11 14:00:00+00', 'the time of the last watch is kept');

# A rolled back watch leaves nothing
start_anew();
sql(find_sql('pg1', 'WARN', 7));
my $LISTENS = q{LISTEN chpg_incident; BEGIN; SELECT FROM _chpg_watch('2026-05-11 07:00Z', NULL, NULL);};
is(sql("$LISTENS ROLLBACK; SELECT 'end'") . alerts(), 'end', 'an alert is written in the transaction of the watch');

# Listeners
my ($heard) = sql("$LISTENS COMMIT; SELECT 'end'") =~ /^Asynchronous notification "chpg_incident" with payload "(.*)" received/m;
is_deeply(decode_json($heard), { finding_key => 'CHPG501:["pg1", "7", "d", "u", "SELECT", "web"]', incident_id => sql('SELECT incident_id FROM kept.alert'),
	service_id => 'pg1', level => 'WARN', transition => 'new' }, 'listeners are notified of it, and of no text');

# A finding that is muted later is closed, one that is judged anew after its end is new again
watch_at(7);
sql(q{SELECT chpg_mute(finding_key, 'accepted_risk') FROM kept.alert; UPDATE planted.candidate SET gone = '2026-05-11 10:00Z'});
watch_at($_) for 8, 9, 10, 11;
is(alerts(), 'new|WARN|pg1 resolved|WARN|pg1', 'what was muted meanwhile is closed');
sql(find_sql('pg1', 'WARN', 15));
watch_at(15);
is(alerts(), 'new|WARN|pg1 resolved|WARN|pg1 new|WARN|pg1', 'an incident may begin anew');

# Webhooks get what their filters let through
start_anew();
create('all');
create('errors', q{, level => 'ERROR'});
create('risks', q{, kind => 'risk'});
create('two', q{, service => 'service 2'});
create('sales', q{, tags => '{"team": "sales"}'});
sql(find_sql('pg1', 'WARN', 7, 9) . find_sql('pg2', 'ERROR', 8, 10) . find_sql('pg3', 'WARN', 8, 10, kind => 'risk'));
watch_at($_) for 7 .. 12;
is(sql(q{SELECT webhook, string_agg(transition || ' ' || service_id, ', ' ORDER BY service_id, alert_id) FROM kept.alert_delivery JOIN kept.alert USING (alert_id) GROUP BY webhook ORDER BY webhook}),
	"all|new pg1, resolved pg1, new pg2, resolved pg2, new pg3, resolved pg3\nerrors|new pg2, resolved pg2\nrisks|new pg3, resolved pg3\nsales|new pg1, resolved pg1\ntwo|new pg2, resolved pg2", 'filters by level, kind, service and tags');
is(deliver(), '', 'all are delivered');
is(join(' ', sort map { $_->{path} } $receiver->requests), '/all /all /all /all /all /all /errors /errors /risks /risks /sales /sales /two /two', 'once');
my @keys = map { $_->{headers}{'idempotency-key'} } grep { $_->{path} eq '/all' } $receiver->requests;
is(scalar(keys %{ { map { $_ => 1 } @keys } }), 6, 'each alert has a key of its own');
is(deliveries(q{DISTINCT ON (alert_id, webhook) state, attempts, status, error}) =~ s/sent\|1\|200\| ?//gr, '', 'and that is noted');
$receiver->forget;
is(deliver() . received(), '', 'nothing is sent again');
sql("SELECT chpg_drop_webhook('$_')") for qw(errors risks two sales);

# An outage: what is next waits for what came before it, and is sent once that was
start_anew();
sql(find_sql('pg1', 'WARN', 7, 9) . find_sql('pg2', 'WARN', 8));
watch_at(7);
$receiver->stop;
like(deliver(), qr/WARNING:  could not deliver an alert to webhook "all": no connection/, 'a receiver that is away');
is(deliveries(q{state, attempts, error, next_try - clock_timestamp() BETWEEN interval '50 s' AND interval '61 s'}), 'pending|1|no connection|t', 'is tried again after a minute');
is(deliver(), '', 'not before');
watch_at($_) for 8 .. 11;
for my $try (2 .. 4)
{
	sql('UPDATE kept.alert_delivery SET next_try = now() WHERE attempts > 0');
	deliver();
}
is(sql(q{SELECT attempts, round(extract(epoch FROM next_try - clock_timestamp()) / 60) FROM kept.alert_delivery WHERE attempts > 1}), '4|8', 'then after 2, 4 and 8 minutes');
$receiver->listen;
is(deliver() . received(), '/all new pg2', 'the end of an incident is not sent before its beginning');
sql(q{UPDATE kept.alert_delivery SET next_try = now()});
is(deliver() . received(), '/all new pg1, /all resolved pg1', 'after the outage all arrive, in order');

# Other failures; a receiver says when it wants to be asked again
start_anew();
sql(find_sql('pg1', 'WARN', 7, 9));
watch_at(7);
$receiver->answer_with(404);
like(deliver(), qr/HTTP status 404/, 'a URL that is wrong');
is(deliveries('state, status'), 'pending|404', 'is tried again');
my ($first) = $receiver->requests;
create('all', q{, secret => 'rotated'});
sql('UPDATE kept.alert_delivery SET next_try = now()');
is(deliver(), '', 'until it is right');
my (undef, $second) = $receiver->requests;
is($second->{headers}{'idempotency-key'}, $first->{headers}{'idempotency-key'}, 'with the same key');
is($second->{body}, $first->{body}, 'and the same body');
like($second->{headers}{'x-chpg-signature'}, qr/^sha256=/, 'signed with the new secret');

# A busy receiver is waited for, once, and what is worst does not wait behind a flood
for my $answers ([ '429 after 1' ], [ '429 after 1', '429 after 1' ])
{
	start_anew();
	sql(find_sql('pg1', 'WARN', 7) . find_sql('pg2', 'WARN', 7) . find_sql('pg3', 'ERROR', 8));
	watch_at($_) for 7, 8;
	$receiver->answer_with(@$answers);
	like(deliver(), qr/HTTP status 429/, 'a receiver that is busy');
	is(received() =~ s/pg[12]/pg/gr, '/all new pg3, /all new pg3' . (@$answers == 1 ? ', /all new pg, /all new pg' : ''), 'is asked again in the same run, once; ERROR comes first');
	is(sql(q{SELECT count(*), min(attempts) FROM kept.alert_delivery WHERE state = 'pending' AND next_try > clock_timestamp() + interval '1 min'}), @$answers == 1 ? '0|' : '1|2', 'then it is tried later');
}

# When many wait, as after an outage, one message stands for them; each stays accounted for.
sql(q{INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, size, tags) SELECT 'pg' || n, '-infinity', now(), 'service ' || n, 'small', '{}' FROM generate_series(10, 60) n});
sub flood { my ($count) = @_; start_anew(); return sql(find_sql('pg1', 'ERROR', 7) . find_sql('pg2', 'WARN', 7, 9) . join '', map { find_sql("pg$_", 'WARN', 7) } 3 .. $count) . watch_at(7) }
create('pager', q{, level => 'ERROR'});
flood(50);
is(sql('SELECT count(*) FROM kept.alert') . deliver() . scalar(grep { $_->{path} eq '/all' } $receiver->requests), '5050', 'fifty are sent one by one');
flood(51);
$receiver->answer_with(503);
like(deliver(), qr/WARNING:  could not deliver an alert to webhook "all": HTTP status 503/, 'fifty-one are one request');
is(sql(q{SELECT webhook, state, attempts, count(*), count(DISTINCT summary_key), count(DISTINCT next_try) FROM kept.alert_delivery GROUP BY 1, 2, 3 ORDER BY 1}), "all|pending|1|51|1|1\npager|sent|1|1|0|1", 'which fails as one');
watch_at($_) for 9 .. 11;
sql('UPDATE kept.alert_delivery SET next_try = now()');
is(deliver() . join(' ', map { "$_->{path} " . decode_json($_->{body})->{transition} } $receiver->requests), '/all summary /pager new /all summary /all resolved', 'and is tried again as one; what came later comes after it');
{
	my ($try, undef, $again) = $receiver->requests;
	my $summary = decode_json($again->{body});

	is("$again->{headers}{'idempotency-key'} $again->{body}", "$try->{headers}{'idempotency-key'} $try->{body}", 'with the same key and body');
	is($summary->{idempotency_key}, $again->{headers}{'idempotency-key'}, 'its own key');
	is("$summary->{level} $summary->{title}", 'ERROR 51 alerts: 1 ERROR, 50 WARN', 'a summary counts by level');
	like($summary->{symptom}, qr/^The worst: service 1: Title of CHPG501 \(new\); (?:service \d+: Title of CHPG501 \(new\)(?:; )?){4}$/, 'and names the five worst');
	is(join(' ', $summary->{count}, $summary->{levels}{WARN}, scalar @{ $summary->{alerts} }, join ',', sort keys %{ $summary->{alerts}[0] }), '51 50 51 idempotency_key,incident_id,level,service_id,transition', 'for machines, too');
}
is(sql(q{SELECT state, attempts, count(*), count(DISTINCT alert_id) FROM kept.alert_delivery WHERE webhook = 'all' GROUP BY 1, 2 ORDER BY 2}), "sent|1|1|1\nsent|2|51|51", 'each alert is accounted for once');
flood(60);
$receiver->answer_with(500, 500, 500);
deliver();
sql(q{UPDATE kept.alert_delivery SET attempts = 11, next_try = now() WHERE webhook = 'all'});
deliver();
is(sql('SELECT count(*) FROM kept.dead_letter') . sql('SELECT chpg_redeliver()'), '6060', 'after twelve tries all are dead letters');
$receiver->forget;
is(deliver() . scalar($receiver->requests) . sql('SELECT count(*) FROM kept.dead_letter'), '10', 'which are sent again as one');
is(decode_json(sql(q{SELECT _chpg_alert_body('slack', _chpg_summary(summary_key, webhook)) FROM kept.alert_delivery WHERE summary_key IS NOT NULL LIMIT 1}))->{text} =~ s/(service 1).*$/$1/r, 'ERROR summary: fleet: 60 alerts: 1 ERROR, 59 WARN - The worst: service 1', 'in Slack it is a line');
sql("SELECT chpg_create_webhook('pager', 'pagerduty', '$receiver->{url}/pager', 'routingKey1', ca_file => '$receiver->{ca_file}')");
flood(51);
deliver();
is(scalar(grep { $_->{path} eq '/pager' } $receiver->requests), 51, 'PagerDuty, which takes one incident at a time, gets them all');
sql(q{SELECT chpg_drop_webhook('pager')});

# One that was tried alone may have arrived: it keeps its key, and what follows of its incident waits for it.
flood(3);
$receiver->answer_with(500);
deliver();
$receiver->forget;
sql(join('', map { find_sql("pg$_", 'WARN', 8) } 4 .. 60) . q{UPDATE planted.candidate SET gone = '2026-05-11 08:00Z' WHERE (c).service_id = 'pg1'});
watch_at($_) for 8 .. 11;
is(deliver() . received(), '/all summary ', 'what was never tried is summed up');
is(sql(q{SELECT service_id, transition, state, attempts FROM kept.alert_delivery JOIN kept.alert USING (alert_id) WHERE webhook = 'all' AND summary_key IS NULL ORDER BY alert_id}),
	"pg1|new|pending|1\npg1|resolved|pending|0", 'but for the one that was tried, and its incident');
sql('UPDATE kept.alert_delivery SET next_try = now()');
is(deliver() . received(), '/all new pg1, /all resolved pg1', 'which are sent by themselves');
sql(q{UPDATE kept.alert_delivery SET state = 'dead', error = 'no connection'; SELECT chpg_redeliver('all')});
is(deliver() . scalar(grep { decode_json($_->{body})->{transition} eq 'summary' } $receiver->requests) . sql(q{SELECT count(*) FROM kept.alert_delivery WHERE state <> 'sent'}), '10', 'also after they were dead');

# More than fit into a summary: no incident ends before it begins
start_anew();
sql(q{INSERT INTO kept.alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level, title)
	SELECT gen_random_uuid(), now(), now(), t, 'inc-' || n, 'f', 'CHPG501', 'incident', l, 'T'
	FROM (SELECT 'new', 'WARN', n FROM generate_series(1, 1500) n UNION ALL SELECT 'resolved', 'ERROR', n FROM generate_series(200, 1400, 1200) n) v(t, l, n);
	INSERT INTO kept.alert_delivery (alert_id, webhook, state, attempts, next_try) SELECT alert_id, 'all', 'pending', 0, now() FROM kept.alert});
is(deliver(), '', 'many alerts');
is(join('; ', map { my $b = decode_json($_->{body}); "$b->{count}: " . join ' ', map { $_->{transition} } grep { $_->{incident_id} eq 'inc-1400' } @{ $b->{alerts} } } $receiver->requests),
	'1000: new resolved; 502: ', 'are two summaries, one of which has all of an incident');

# A webhook that becomes PagerDuty's while a summary waits
flood(51);
$receiver->answer_with(500);
deliver();
sql("SELECT chpg_create_webhook('all', 'pagerduty', '$receiver->{url}/all', 'routingKey1', ca_file => '$receiver->{ca_file}'); UPDATE kept.alert_delivery SET next_try = now()");
$receiver->forget;
is(deliver() . join(' ', scalar($receiver->requests), grep({ decode_json($_->{body})->{dedup_key} !~ /^inc-/ } $receiver->requests)), '51', 'takes it apart');
sql(q{SELECT chpg_drop_webhook('all')});
create('all');

# In a database without an encoding, a text that is cut within a character
$node->safe_psql('postgres', q{CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('bytes', qq{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept'); SELECT chpg_create_webhook('all', 'json', '$receiver->{url}/all', ca_file => '$receiver->{ca_file}');
	INSERT INTO kept.alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level, title, symptom)
	SELECT gen_random_uuid(), now(), now(), 'new', 'inc-' || n, 'f', 'CHPG501', 'incident', 'WARN', left('a' || repeat(E'\\xc3\\xa9', 9), 10), E'\\xff\\xe2\\x82 \\xe2\\x82\\xac' FROM generate_series(1, 2) n;
	INSERT INTO kept.alert_delivery (alert_id, webhook, state, attempts, next_try) SELECT alert_id, 'all', 'pending', 0, now() FROM kept.alert});
$receiver->forget;
$node->safe_psql('bytes', 'CALL chpg_deliver()');
is(join(' ', map { my $b = JSON::PP->new->decode($_->{body}); utf8::encode(my $text = "$b->{incident_id} $b->{title} $b->{symptom}"); $text } $receiver->requests),
	join(' ', map { "inc-$_ a\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9? ??? \xe2\x82\xac" } 1, 2), 'has a question mark there, and holds up nothing');

# A webhook that is made when incidents are open, or of a service that does not exist
sub said { my ($more) = @_; return notices($node, "SELECT chpg_create_webhook('later', 'json', '$receiver->{url}/later'$more)") =~ s/^psql:\S+ //gmr }
start_anew();
sql(find_sql('pg1', 'ERROR', 7) . find_sql('pg2', 'WARN', 7));
watch_at(7);
is(said(q{, level => 'ERROR'}), qq{NOTICE:  webhook "later" is sent incidents that are open already (1) only if they get worse\nHINT:  See the view finding: SELECT * FROM kept.finding;}, 'a notice says how many of its incidents are open');
like(said(q{, service => 'servise 2'}), qr/^WARNING:  no service of the history has the id or the name "servise 2": did you mean "service 2"\?\nHINT:  Webhook "later" gets no alerts until there is one\.$/, 'a service that does not exist');
like(said(q{, tags => '{"team": "sails"}'}), qr/^WARNING:  no service of the history has the tags \{"team": "sails"\}/, 'tags that no service has');
is(said(q{, service => 'pg3', tags => '{"team": "core"}'}), '', 'of others nothing is said');
sql(q{SELECT chpg_drop_webhook('later')});

# No text of a query leaves the database
is(sql(q{SELECT _chpg_without_query('32 new ids in 4 h: ALTER ROLE app PASSWORD x', '{"query_text": "ALTER ROLE app\n PASSWORD x"}')}), '32 new ids in 4 h: a query', 'a symptom that cites a query is cut');
is(sql(q{SELECT _chpg_without_query('3000 after 1000', '{"query_text": "SELECT 1", "renamed": [{"query_text": null}]}')}), '3000 after 1000', 'another one is not');

# Dead letters
start_anew();
sql(find_sql('pg1', 'WARN', 7, 9));
watch_at(7);
sql('UPDATE kept.alert_delivery SET attempts = 11');
$receiver->answer_with(500);
deliver();
is(sql('SELECT webhook, transition, level, service, title, attempts, error FROM kept.dead_letter'), 'all|new|WARN|service 1|Title of CHPG501|12|HTTP status 500', 'after twelve tries it is a dead letter');
$receiver->forget;
is(deliver() . received(), '', 'which is not sent any more');
is(sql('SELECT chpg_redeliver()'), '1', 'unless that is wanted');
is(deliver() . received() . sql('SELECT count(*) FROM kept.dead_letter'), '/all new pg10', 'then it is');
watch_at($_) for 8 .. 11;
sql(q{SELECT chpg_drop_webhook('all')});
deliver();
is(sql('SELECT webhook, error FROM kept.dead_letter'), 'all|the webhook does not exist', 'what a dropped webhook should have got is a dead letter');
is(sql(q{SELECT problem ~ 'webhooks|dead', dead_letters, webhooks_failing FROM chpg_self}), 'f|0|0', 'which is no problem');
is(sql('SELECT chpg_redeliver()'), '0', 'nor sent again');
my $UNKNOWN = qr/webhook "all" does not exist: did you mean "al"\?\nHINT:  Create it with chpg_create_webhook, or give up on its dead letters: (DELETE FROM kept.alert_delivery WHERE state = 'dead' AND webhook = 'all';)/;
sql(q{SELECT chpg_create_webhook('al', 'json', 'https://x.example/')});
my ($give_up) = fails_with($node, q{SELECT chpg_redeliver('all')}, '42704', $UNKNOWN, 'as nobody is there to get it') =~ $UNKNOWN;
sql(q{SELECT chpg_drop_webhook('al'); CREATE ROLE usurper LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO usurper});
as_role('usurper', q{SELECT chpg_create_webhook('all', 'json', 'https://x.example/')});
fails_with($node, q{SELECT chpg_redeliver('all')}, '42501', qr/webhook "all" gets no alert: its owner has not the rights of role/, 'nor a webhook of that name of a role without rights');
is(sql('SELECT chpg_redeliver()') . sql(q{UPDATE kept.alert_delivery SET state = 'pending' WHERE state = 'dead'; CALL chpg_deliver(); SELECT error FROM kept.dead_letter}), "0its owner lacks the rights of the history's owner", 'which is sent nothing');
sql(q{SELECT chpg_drop_webhook('all')});
create('all');
is(sql('SELECT dead_letters FROM chpg_self'), '1', 'a webhook that is made anew has the dead letters of its name');
sql($give_up);
is(sql('SELECT dead_letters FROM chpg_self') . sql('SELECT chpg_redeliver()'), '00', 'until they are given up');

# Quiet hours
start_anew();
my $hour = sql(q{SELECT to_char(now() - interval '1 hour', 'HH24:MI') || '-' || to_char(now() + interval '1 hour', 'HH24:MI') || ' UTC'});
create('all', ", quiet_hours => '$hour'");
sql(find_sql('pg1', 'WARN', 7, 9));
watch_at(7);
is(deliver() . received() . ' ' . deliveries('state, attempts'), ' pending|0', 'in quiet hours nothing is sent');
create('all');
is(deliver() . received(), '/all new pg1', 'but after them');

# No snapshot and no lock across a request; a watch does not wait for it
start_anew();
sql(find_sql('pg1', 'WARN', 7, 9) . find_sql('pg2', 'WARN', 8));
watch_at(7);
$receiver->answer_with('hang');
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
begin_in_session($session, 'CALL chpg_deliver()');
wait_until(sub { scalar $receiver->requests }, 'the receiver has the request');
is(sql("SELECT wait_event_type, backend_xid IS NULL, backend_xmin IS NULL FROM pg_stat_activity WHERE pid = $pid"), 'Extension|t|t', 'a session that sends holds no snapshot');
is(sql('SELECT pid, operation, done, total, unit, waiting_for FROM chpg_activity()'), "$pid|deliver alerts|0||alerts|webhook response", 'and chpg_activity shows what it waits for');
is(sql("SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype <> 'virtualxid'"), '0', 'and no lock');
is(watch_at(8), '1|0|0', 'a watch does not wait for it');
is(sql('SELECT attempts, leased_until > clock_timestamp() FROM kept.alert_delivery WHERE attempts > 0'), '1|t', 'the delivery is leased');
is(deliver() =~ s/\s+$//r, '', 'another session does what is left');
my @both = $receiver->requests;
is(join(', ', map { decode_json($_->{body})->{service_id} } @both), 'pg1, pg2', 'and not what the first one does');

# kill -9 between requests and their records: of an alert, and of a summary
create('crowd');
sql(q{WITH a AS (INSERT INTO kept.alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level, service_id)
		SELECT gen_random_uuid(), now(), now(), 'new', 'inc-' || n, 'f', 'CHPG501', 'incident', 'WARN', 'pg' || n FROM generate_series(1, 51) n RETURNING alert_id)
	INSERT INTO kept.alert_delivery (alert_id, webhook, state, attempts, next_try) SELECT alert_id, 'crowd', 'pending', 0, now() FROM a});
$receiver->answer_with('hang');
my $of_crowd = open_session($node);
begin_in_session($of_crowd, 'CALL chpg_deliver()');
wait_until(sub { $receiver->requests == 3 }, 'the receiver has a summary, too');
kill_backend($node, $pid);
is(deliver(), '', 'a delivery that was interrupted is left until its lease ends');
sql(q{UPDATE kept.alert_delivery SET leased_until = now() - interval '1 s' WHERE state = 'pending'});
is(deliver(), '', 'then it is sent again');
my @again = map { "$_->{path} $_->{headers}{'idempotency-key'} $_->{body}" } $receiver->requests;
is(scalar @again, 5, 'once');
is($again[3], $again[0], 'with the same key and body');
is($again[4], $again[2], 'and so is a summary');
is(sql(q{SELECT state, attempts, count(*), count(DISTINCT alert_id) FROM kept.alert_delivery WHERE webhook = 'crowd' GROUP BY 1, 2}), 'sent|2|51|51', 'all alerts of which are sent, once');
is(deliver() . $receiver->requests, '5', 'and not again');
sql(q{SELECT chpg_drop_webhook('crowd')});

# While a backfill is under way, what is found may be over: alerts wait until the captured hours are near.
start_anew();
sql(find_sql('pg1', 'WARN', 10));
notices($node, 'CALL chpg_watch()');
is(sql('SELECT state FROM kept.finding_log') . ' ' . alerts() . received(), 'new ', 'what is found in hours that are long ago is noted, and no alert');
sql(q{INSERT INTO kept.capture (service_id, grain, window_start, window_end, status) VALUES ('pg1', 'hour', now() - interval '90 minutes', now() - interval '30 minutes', 'ok')});

# chpg_watch delivers, but not in a transaction block
notices($node, 'BEGIN; CALL chpg_watch(); COMMIT');
is(alerts() . ' ' . received(), 'new|WARN|pg1 ', 'a watch in a transaction block delivers nothing');
notices($node, 'CALL chpg_watch()');
is(received(), '/all new pg1', 'another one does');
fails_with($node, 'BEGIN; CALL chpg_deliver()', '25001', qr/chpg_deliver\(\) cannot run inside a transaction block/, 'nor does a delivery');
fails_with($node, 'CALL chpg_deliver(-1)', '22023', qr/invalid value for "max_seconds"/, 'a time that is none');

# Retention
sql(q{DELETE FROM kept.capture WHERE window_end > now() - interval '1 day'});
sql(q{UPDATE kept.alert SET noted_at = now() - interval '200 years'});
watch_at(23);
is(alerts(), 'new|WARN|pg1', 'an alert of an open incident is kept');
sql(q{UPDATE kept.finding_log SET resolved_at = now(), state = 'resolved'});
sql(q{UPDATE kept.capture SET window_start = window_start; SELECT _chpg_note_alerts('2026-05-11 23:00Z'); UPDATE kept.alert SET noted_at = now() - interval '200 years'; SELECT _chpg_note_alerts('2026-05-11 23:00Z')});
is(alerts() . deliveries('alert_id'), '', 'others are forgotten in time, with their deliveries');

# Another role's
sql('CREATE ROLE mallory LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO mallory; GRANT USAGE ON SCHEMA kept TO mallory; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO mallory');
as_role('mallory', "SELECT chpg_create_webhook('hers', 'json', '$receiver->{url}/hers')");
as_role('mallory', "CREATE USER MAPPING FOR " . sql('SELECT quote_ident(current_user)') . " SERVER hers OPTIONS (url '$receiver->{url}/hers')");
start_anew();
sql(find_sql('pg1', 'WARN', 7));
watch_at(7);
is(deliver() . received(), '/all new pg1', 'a webhook of a role that does not own the history gets nothing');
fails_as('mallory', 'CALL chpg_deliver()', '42501', qr/permission denied/, 'such a role delivers nothing');
as_role('mallory', q{SELECT pg_notify('chpg_incident', '{"transition": "new"}')});
is(alerts(), 'new|WARN|pg1', 'a forged notification is no alert');
sql('REVOKE ALL ON ALL TABLES IN SCHEMA kept FROM mallory');
sql(q{CREATE FUNCTION planted.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$; CREATE TRIGGER t BEFORE UPDATE ON kept.alert_delivery FOR EACH ROW EXECUTE FUNCTION planted.fires()});
fails_with($node, 'CALL chpg_deliver()', '55000', qr/trigger "t" on table "alert_delivery"/, 'a trigger on the outbox');

done_testing();
