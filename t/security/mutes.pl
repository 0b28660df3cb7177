# Mutes: bounded texts, bounded rows, and keys of findings only.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $node = start_node('main');

sub refuses { my ($call, $state, $message, $name) = @_; return fails_with($node, "SELECT $call", $state, $message, $name, extra_params => [ '-U', 'mallory' ]) }

sql('CREATE EXTENSION chpg; CREATE ROLE mallory LOGIN; CREATE ROLE other LOGIN; GRANT EXECUTE ON FUNCTION chpg_mute, chpg_unmute TO mallory, other');
my $MUTES = 'SELECT count(*) FROM chpg_finding_mute';
my $KEY = 'CHPG301:pg0123456789abcdefghijklmn';

# Notes
refuses("chpg_mute('$KEY', 'wont_fix', repeat('x', 1025))", '22001', qr/argument "note" is too long: 1025 bytes\nHINT:  Give at most 1024 bytes\./, 'a note of more than 1 kB');
refuses("chpg_mute('$KEY', 'wont_fix', repeat('é', 513))", '22001', qr/1026 bytes/, 'bytes count');
like(refuses("chpg_mute('$KEY', repeat('x', 1000000))", '22023', qr/invalid value for "reason"/, 'a reason that is long'), qr/^.{1,2000}$/s, 'is not repeated as a whole');
as_role('mallory', "SELECT chpg_mute('$KEY', 'wont_fix', repeat('x', 1024))");
is(sql('SELECT octet_length(note) FROM chpg_finding_mute'), 1024, 'a note of 1 kB');

# Keys: of an existing rule, about a service or about texts, as findings have them
my $ID = '9d3f2e7a-1111-4222-8333-0123456789ab';
refuses("chpg_mute($_, 'wont_fix')", '22023', qr/invalid value for "finding_key"/, "no key: $_") foreach
	q{'CHPG999:x'}, q{'CHPG301'}, q{'CHPG301:'}, q{'CHPG301;x'}, q{'chpg301:x'}, q{'CHPG301:' || repeat('x', 101)}, q{E'CHPG301:a\nb'},
	q{'CHPG101:["a'}, q{'CHPG101:["a"] or more'}, q{'CHPG101:["a","b"]'}, q{'CHPG101:["a", {"b": 1}]'}, q{'CHPG101:[1]'}, q{'CHPG101:[["a"]]'},
	q{'CHPG101:["' || repeat('x', 2048) || '"]'}, q{''};
like(refuses(q{chpg_mute(repeat('x', 1000000), 'wont_fix')}, '22023', qr/invalid value for "finding_key"/, 'a key that is long'), qr/^.{1,2000}$/s, 'is not repeated as a whole');
as_role('mallory', "SELECT chpg_mute($_, 'wont_fix')") foreach
	"'CHPG701:$ID'", q{'CHPG402:skipped'}, "'CHPG402:skipped:$ID'", qq{'CHPG101:["$ID", "123", "db", "user", "a \\"quoted\\" name", null]'}, q{'CHPG101:' || to_jsonb(ARRAY['a', E'b\n', NULL])::text};
is(sql($MUTES), 6, 'keys as findings have them');

# Rows: a thousand for each role; further ones have no effect.
sql('TRUNCATE chpg_finding_mute');
as_role('mallory', "SELECT count(chpg_mute('CHPG301:service ' || n, 'wont_fix')) FROM generate_series(1, 1000) n");
refuses(q{chpg_mute('CHPG301:one more', 'wont_fix')}, '54000', qr/role "mallory" has muted 1000 findings already\nHINT:  End some/, 'the 1001st');
as_role('mallory', q{SELECT chpg_mute('CHPG301:service 1', 'accepted_risk', 'changed')});
is(sql(q{SELECT note FROM chpg_finding_mute WHERE finding_key = 'CHPG301:service 1'}), 'changed', 'an existing mute may be changed');
as_role('other', q{SELECT chpg_mute('CHPG301:of another', 'wont_fix')});
is(sql($MUTES), 1001, 'other roles have their own');
as_role('mallory', q{SELECT chpg_unmute('CHPG301:service 2'); SELECT chpg_mute('CHPG301:one more', 'wont_fix')});
is(sql($MUTES), 1001, 'and ending a mute makes room');
sql(q{UPDATE chpg_finding_mute SET muted_until = now() - interval '1 second' WHERE finding_key ~ '^CHPG301:service'});
as_role('mallory', q{SELECT chpg_mute('CHPG301:after all', 'wont_fix')});
is(sql('SELECT string_agg(finding_key, $$, $$ ORDER BY finding_key) FROM chpg_finding_mute'), 'CHPG301:after all, CHPG301:of another, CHPG301:one more', 'expired mutes are removed');

# Two sessions at once cannot exceed that.
sql('TRUNCATE chpg_finding_mute');
my @sessions = map { open_session($node, extra_params => [ '-U', 'mallory' ]) } 1 .. 2;
in_session($sessions[0], "BEGIN; SELECT count(chpg_mute('CHPG301:service ' || n, 'wont_fix')) FROM generate_series(1, 1000) n");
begin_in_session($sessions[1], q{SELECT chpg_mute('CHPG301:one more', 'wont_fix')});
wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}) eq '1' }, 'the other waits');
in_session($sessions[0], 'COMMIT');
await_in_session($sessions[1], qr/ERROR:  54000: role "mallory" has muted 1000 findings already/);
$_->quit foreach @sessions;
is(sql($MUTES), 1000, 'also with two sessions');

done_testing();
