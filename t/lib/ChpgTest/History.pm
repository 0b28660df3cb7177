# A history of the fleet in the schema "kept".
package ChpgTest::History;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(unplant);

# Remove the patterns with these query texts from the history.
sub unplant
{
	my ($node, @texts) = @_;
	my $list = join ', ', map { "'$_'" } @texts;

	return $node->safe_psql('postgres', "DELETE FROM kept.pattern p USING kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text IN ($list)");
}

1;
