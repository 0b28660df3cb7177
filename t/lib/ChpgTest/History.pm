# Histories of the fleet that tests make; unless another schema is named, in the schema "kept".
package ChpgTest::History;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(settle unplant);

# To captures it is now half an hour after a full hour: no window ends while a test runs.
sub settle
{
	my ($node, $schema) = @_;

	return $node->safe_psql('postgres', "UPDATE $schema.setting SET value = ((extract(minute FROM now())::integer + 30) % 60) || ' minutes' WHERE name = 'settle'");
}

# Remove the patterns with these query texts from the history.
sub unplant
{
	my ($node, @texts) = @_;
	my $list = join ', ', map { "'$_'" } @texts;

	return $node->safe_psql('postgres', "DELETE FROM kept.pattern p USING kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text IN ($list)");
}

1;
