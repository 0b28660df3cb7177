# Reads the files of rules/, and writes what is derived from them.
#
#   awk -v part=declared -f rules.awk rules/*.sql     the rows of chpg_rule, and _chpg_rules()
#   awk -v part=called -f rules.awk rules/*.sql       the functions that judge; files that are not in
#                                                     rules/ are searched for unknown thresholds
#   awk -v part=documented -f rules.awk rules/*.sql   the table of docs/findings.md
#
# CONTRIBUTING says how a rule is written. Nothing is written if a declaration is wrong.

BEGIN {
	split("shared pattern service change history metrics fleet findings", words, " ")
	for (i in words) scopes[words[i]] = 1
	split("incident risk opportunity hygiene", words, " ")
	for (i in words) kinds[words[i]] = 1
	split("age level return run", words, " ")
	for (i in words) endings[words[i]] = 1
	split("executions,durations,errors,rows,blocks,CPU time,WAL", words, ",")
	for (i in words) inputs[words[i]] = 1
	needed["change"] = needed["history"] = "a history"
	needed["metrics"] = "metrics"
	needed["fleet"] = "the settings of the fleet"
	split("level symptom explanation action confidence impact_us saving evidence since before now unit next", words, " ")
	for (i in words) columns[words[i]] = 1
}

FNR == 1 { rule = 0; head = 0; opening = 0; of_rules = FILENAME ~ /(^|\/)rules\/[^\/]*$/ }

# A comment that begins with a rule is its head.
/^\/\*$/ { opening = 1; held = $0; next }
opening && /^ \* rule: / { opening = 0; head = 1; key = "" }
opening { opening = 0; keep(held) }

head && /^ \*\/$/ { head = 0; finish(); next }
head && /^ \*$/ { head = 2; next }
head == 2 { next }
head && key != "" && /^ \*   +[^ ]/ { sub(/^ \* +/, ""); values[key] = values[key] " " $0; threshold_continued(); next }
head && match($0, /^ \* [a-z]+: +/) {
	declare(substr($0, 4, index($0, ":") - 4), substr($0, RLENGTH + 1))
	next
}
head { fail("not a declaration, such as \" * kind: risk\""); next }

{ keep($0) }

END {
	for (name in rules_of_file) if (rules_of_file[name] == 0) fail_at(name, "no rule: a file begins with its head")
	for (r = 1; r <= rules; r++) check(r)
	sort_rules()
	if (part == "called") expand()
	if (errors) exit 1
	if (part == "declared") write_declared()
	else if (part == "called") write_called()
	else if (part == "documented") write_documented()
	else { print "rules.awk: part is declared, called or documented" > "/dev/stderr"; exit 1 }
}

function fail(message) { fail_at(FILENAME ":" FNR, message) }

function fail_at(where, message) {
	print where ": " message > "/dev/stderr"
	errors++
}

# ---- Reading

function keep(text) {
	lines++
	line[lines] = text
	line_at[lines] = FILENAME ":" FNR
	line_rule[lines] = rule
	if (of_rules) rules_of_file[FILENAME] += 0
	line_file[lines] = FILENAME
	is_other[lines] = !of_rules
}

function declare(name, value) {
	sub(/ +$/, "", value)
	key = name
	if (name == "rule") {
		rule = ++rules
		at[rule] = FILENAME ":" FNR
		if (rules_of_file[FILENAME] > 0) fail("a file has one rule")
		file[rule] = FILENAME
		rules_of_file[FILENAME]++
		if (split(value, words, " ") != 2 || words[1] !~ /^CHPG[0-9][0-9][0-9]$/ || words[2] !~ /^[a-z][a-z0-9_]*$/)
			fail("not an id and a name, such as CHPG101 full_scan: \"" value "\"")
		id[rule] = words[1]
		rule_name[rule] = words[2]
		if (words[1] in rule_of_id) fail("rule " words[1] " is also declared at " at[rule_of_id[words[1]]])
		if (words[2] in rule_of_name) fail("rule \"" words[2] "\" is also declared at " at[rule_of_name[words[2]]])
		if (FILENAME !~ "(^|/)" words[2] "\\.sql$") fail("the file of rule \"" words[2] "\" is " words[2] ".sql")
		rule_of_id[words[1]] = rule_of_name[words[2]] = rule
	} else if (name == "threshold") {
		threshold(value)
	} else if (name ~ /^(title|kind|scope|place|effect|needs|function|onset|ends)$/) {
		if (values[name] != "") fail("\"" name "\" is declared twice")
		values[name] = value
	} else {
		fail("unknown declaration \"" name "\"")
	}
}

# NAME = VALUE UNIT; DESCRIPTION
function threshold(value,    name, number, unit, equals, semicolon) {
	equals = index(value, " = ")
	semicolon = index(value, "; ")
	if (equals == 0 || semicolon < equals) {
		fail("not a threshold, such as \"calls = 5 executions; Executions.\"")
		return
	}
	name = substr(value, 1, equals - 1)
	number = substr(value, equals + 3, semicolon - equals - 3)
	unit = ""
	if (match(number, / .*/)) {
		unit = substr(number, RSTART + 1)
		number = substr(number, 1, RSTART - 1)
	}
	if (name !~ /^[a-z][a-z0-9_]*$/) fail("not a name of a threshold: \"" name "\"")
	if (number !~ /^-?[0-9]+(\.[0-9]+)?$/) fail("threshold \"" name "\" is no number: \"" number "\"")
	if (unit == "") fail("threshold \"" name "\" has no unit (a mere number is a \"factor\" or a \"count\")")
	thresholds++
	threshold_rule[thresholds] = rule
	threshold_name[thresholds] = name
	threshold_value[thresholds] = number
	threshold_unit[thresholds] = unit
	threshold_text[thresholds] = substr(value, semicolon + 2)
	threshold_at[thresholds] = FILENAME ":" FNR
	name = rule_name[rule] "_" name
	if (length(name) > 63) fail("longer than 63 characters with the rule's name: \"" name "\"")
	if (name in known) fail("threshold \"" name "\" is also declared at " threshold_at[known[name]])
	known[name] = thresholds
}

function threshold_continued() {
	if (key == "threshold") threshold_text[thresholds] = threshold_text[thresholds] " " $0
}

function finish(    name) {
	title[rule] = values["title"]
	kind[rule] = values["kind"]
	scope[rule] = values["scope"]
	place[rule] = values["place"]
	needs[rule] = values["needs"]
	called[rule] = values["function"]
	effect[rule] = values["effect"]
	onset[rule] = values["onset"]
	ends[rule] = values["ends"]
	for (name in values) delete values[name]
}

# ---- Checking

function check(r,    i, n, list, has) {
	if (title[r] == "") fail_at(at[r], "no title")
	if (!(scope[r] in scopes)) fail_at(at[r], "unknown scope \"" scope[r] "\"")
	if (scope[r] == "shared") {
		if (kind[r] != "") fail_at(at[r], "thresholds that rules share have no kind")
		kind[r] = "shared"
	} else if (!(kind[r] in kinds)) {
		fail_at(at[r], "unknown kind \"" kind[r] "\"")
	}
	if (place[r] == "") place[r] = substr(id[r], 5) + 0
	else if (place[r] !~ /^[0-9]+$/) fail_at(at[r], "the place is no number: \"" place[r] "\"")
	if (effect[r] != "" && effect[r] != "failure" && effect[r] != "outage") fail_at(at[r], "the effect is failure or outage, not \"" effect[r] "\"")
	if (onset[r] != "" && onset[r] != "alone") fail_at(at[r], "the onset is alone, not \"" onset[r] "\"")
	if (ends[r] != "" && !(ends[r] in endings)) fail_at(at[r], "it ends with age, level, return or run, not \"" ends[r] "\"")
	n = split(needs[r], list, /, */)
	for (i = 1; i <= n; i++) if (!(list[i] in inputs)) fail_at(at[r], "needs something unknown: \"" list[i] "\"")
	for (i = 1; i <= thresholds; i++) if (threshold_rule[i] == r) has = 1
	if (!has) fail_at(at[r], "no threshold")
	if (scope[r] == "pattern" && called[r] == "") {
		called[r] = "_chpg_find_patterns"
		is_select[r] = 1
	} else if (scope[r] != "shared" && called[r] == "") {
		called[r] = "_chpg_find_" rule_name[r]
	}
}

function sort_rules(    i, j) {
	for (i = 1; i <= rules; i++) {
		for (j = i; j > 1 && id[order[j - 1]] > id[i]; j--) order[j] = order[j - 1]
		order[j] = i
	}
}

# An attribute of t that begins with a rule's name is one of its thresholds.
function check_attributes(i,    rest, name, r) {
	rest = line[i]
	while (match(rest, /[^a-z0-9_.]t\.[a-z_][a-z0-9_]*/)) {
		name = substr(rest, RSTART + 3, RLENGTH - 3)
		rest = substr(rest, RSTART + RLENGTH)
		if (name in known) continue
		for (r = 1; r <= rules; r++)
			if (index(name, rule_name[r] "_") == 1) {
				fail_at(line_at[i], "unknown threshold \"" name "\"")
				break
			}
	}
}

# Each :NAME becomes the attribute of t: a threshold of the file's rule, or any with its rule's name.
function expand(    i, r, rest, done, name, full) {
	for (i = 1; i <= lines; i++) {
		r = line_rule[i]
		check_attributes(i)
		if (is_other[i]) continue
		if (r && is_select[r]) note_columns(r, line[i])
		rest = line[i]
		done = ""
		while (match(rest, /:[a-z_][a-z0-9_]*/)) {
			name = substr(rest, RSTART + 1, RLENGTH - 1)
			if (RSTART > 1 && substr(rest, RSTART - 1, 1) ~ /[:[]/) {
				done = done substr(rest, 1, RSTART + RLENGTH - 1)
			} else {
				full = rule_name[r] "_" name
				if (!(full in known)) full = name
				if (!(full in known)) fail_at(line_at[i], "unknown threshold \"" name "\"")
				else used[known[full]] = 1
				done = done substr(rest, 1, RSTART - 1) "t." full
			}
			rest = substr(rest, RSTART + RLENGTH)
		}
		line[i] = done rest
	}
	for (r = 1; r <= rules; r++) {
		if (is_select[r]) check_columns(r)
	}
	for (i = 1; i <= thresholds; i++)
		if (is_select[threshold_rule[i]] && !used[i])
			fail_at(threshold_at[i], "threshold \"" threshold_name[i] "\" is not used")
}

# Which columns a rule's SELECT has: each ends its line.
function note_columns(r, text,    name) {
	if (match(text, /[ \t]AS [a-z_]+,?$/)) {
		name = substr(text, RSTART + 4)
		sub(/,$/, "", name)
		if (name in columns) has_column[r, name] = 1
	}
}

function check_columns(r,    i, n, list) {
	n = split("symptom explanation action confidence", list, " ")
	for (i = 1; i <= n; i++)
		if (!((r, list[i]) in has_column)) fail_at(at[r], "no column \"" list[i] "\" (a line ends with AS " list[i] ")")
	if ((kind[r] == "opportunity" || kind[r] == "hygiene") && (r, "level") in has_column)
		fail_at(at[r], "a rule of kind " kind[r] " is always INFO, and has no level")
	if (kind[r] != "opportunity" && kind[r] != "hygiene" && !((r, "level") in has_column))
		fail_at(at[r], "no column \"level\"")
}

# ---- Writing

function quoted(text) {
	gsub(/'/, "''", text)
	return "'" text "'"
}

function write_declared(    k, r, i, separator) {
	print "/* Written by rules.awk. */\n"
	print "INSERT INTO @extschema@.chpg_rule (rule_id, rule_name, kind, parameter, threshold, unit, description) VALUES"
	for (k = 1; k <= rules; k++)
		for (i = 1; i <= thresholds; i++)
			if (threshold_rule[i] == order[k]) {
				r = order[k]
				printf "%s\t(%s, %s, %s, %s, %s, %s, %s)", separator, quoted(id[r]), quoted(rule_name[r]), quoted(kind[r]),
					quoted(threshold_name[i]), threshold_value[i], quoted(threshold_unit[i]), quoted(threshold_text[i])
				separator = ",\n"
			}
	print ";\n\nALTER TYPE @extschema@._chpg_thresholds"
	separator = ""
	for (i = 1; i <= thresholds; i++) {
		printf "%s\tADD ATTRIBUTE %s double precision", separator, rule_name[threshold_rule[i]] "_" threshold_name[i]
		separator = ",\n"
	}
	print ";\n"
	for (i = 1; i <= thresholds; i++)
		print "COMMENT ON COLUMN @extschema@._chpg_thresholds." rule_name[threshold_rule[i]] "_" threshold_name[i] \
			" IS " quoted(threshold_text[i]) ";"
	print ""
	print "CREATE FUNCTION @extschema@._chpg_rules()"
	print "RETURNS TABLE (rule_id text, rule_name text, title text, kind text, scope text, needs text[], place integer,"
	print "\teffect text, function_name text)"
	print "LANGUAGE sql IMMUTABLE PARALLEL SAFE\nBEGIN ATOMIC\n\tSELECT r.*\n\tFROM (VALUES"
	separator = ""
	for (k = 1; k <= rules; k++) {
		r = order[k]
		if (scope[r] == "shared") continue
		gsub(/, +/, ",", needs[r])
		printf "%s\t\t(%s, %s, %s, %s, %s, %s::text[], %s, %s, %s)", separator, quoted(id[r]), quoted(rule_name[r]),
			quoted(title[r]), quoted(kind[r]), quoted(scope[r]), quoted("{" needs[r] "}"), place[r], quoted(effect[r]), quoted(called[r])
		separator = ",\n"
	}
	print ") r(rule_id, rule_name, title, kind, scope, needs, place, effect, function_name);\nEND;\n"
	print "COMMENT ON FUNCTION @extschema@._chpg_rules() IS"
	print "'The rules, as their files declare them.\nplace, effect: as _chpg_rule_place and _chpg_rule_effect.';\n"
	write_property("_chpg_rule_place", "integer", place, "1000")
	print "'The place of a rule among those that hold for one pattern, or one incident.\nThe least one names it.';\n"
	write_property("_chpg_rule_effect", "text", effect, "''")
	print "'What a finding of a rule means: failure, an outage where it is an ERROR, or less (empty).';\n"
	write_property("_chpg_rule_onset", "text", onset, "''")
	print "'Whether what a rule finds shares an incident with what began at that hour.\nalone: it does not; empty: it does.';\n"
	write_property("_chpg_rule_ends", "text", ends, "''")
	print "'How a finding ends that a rule no longer has: see _chpg_episode_end. Empty: it is resolved.';\n"
}

# A function that returns a property of a rule.
function write_property(name, type, values_of, other,    k, r) {
	print "CREATE FUNCTION @extschema@." name "(rule_id text)"
	print "RETURNS " type "\nLANGUAGE sql IMMUTABLE PARALLEL SAFE\nBEGIN ATOMIC\n\tSELECT CASE rule_id"
	for (k = 1; k <= rules; k++) {
		r = order[k]
		if (scope[r] != "shared" && values_of[r] != "")
			print "\t\tWHEN " quoted(id[r]) " THEN " (type == "text" ? quoted(values_of[r]) : values_of[r])
	}
	print "\t\tELSE " other " END;\nEND;\n\nCOMMENT ON FUNCTION @extschema@." name "(text) IS"
}

function column(r, name, type) { return (r, name) in has_column ? "r.\"" name "\"" : "NULL::" type }

function write_called(    i, k, r, last, separator) {
	print "/* Written by rules.awk. */\n"
	for (i = 1; i <= lines; i++) {
		if (is_other[i] || line_rule[i] && is_select[line_rule[i]]) continue
		if (line_file[i] != last) print ""
		last = line_file[i]
		print line[i]
	}
	arguments = "@extschema@._chpg_thresholds, @extschema@._chpg_scope,\n\t@extschema@._chpg_pattern_pair[]"
	print "\nCREATE FUNCTION @extschema@._chpg_find_patterns(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,"
	print "\tpairs @extschema@._chpg_pattern_pair[])"
	print "RETURNS SETOF @extschema@._chpg_candidate\nLANGUAGE sql VOLATILE\nBEGIN ATOMIC"
	print "\tWITH facts AS MATERIALIZED (\n\t\tSELECT f.* FROM @extschema@._chpg_pattern_facts(t, scope, pairs) f\n\t), found AS ("
	for (k = 1; k <= rules; k++) {
		r = order[k]
		if (!is_select[r]) continue
		print separator "SELECT f.*, " quoted(id[r]) " AS rule_id, " quoted(title[r]) " AS title, " quoted(kind[r]) " AS kind,"
		print ((r, "level") in has_column ? "r.level" : "'INFO' AS level") ","
		print column(r, "symptom", "text") " AS symptom, " column(r, "explanation", "text") " AS explanation,"
		print column(r, "action", "text") " AS action, " column(r, "confidence", "text") " AS confidence,"
		print "@extschema@._chpg_bounded((" column(r, "impact_us", "float8") ")::float8) AS impact_us, " column(r, "saving", "text") " AS saving,"
		print column(r, "evidence", "jsonb") " AS evidence, " column(r, "since", "timestamptz") " AS since,"
		print column(r, "before", "float8") " AS \"before\", " column(r, "now", "float8") " AS \"now\","
		print column(r, "unit", "text") " AS unit, " column(r, "next", "text") " AS next"
		print "FROM facts f CROSS JOIN LATERAL ("
		for (i = 1; i <= lines; i++)
			if (line_rule[i] == r) { sub(/;[ \t]*$/, "", line[i]); print line[i] }
		print ") r"
		separator = "UNION ALL\n"
	}
	print "\t)"
	print "\tSELECT f.rule_id, f.level, f.title, f.service_id, f.symptom, f.pattern_evidence"
	print "\t\t\t|| jsonb_strip_nulls(jsonb_build_object('saving', f.saving)) || coalesce(f.evidence, '{}'),"
	print "\t\tf.explanation, f.action, f.impact_us, f.confidence,"
	print "\t\t@extschema@._chpg_pattern_finding_key(f.rule_id, f.service_id, f.name), f.kind, f.since,"
	print "\t\tf.\"before\", f.\"now\", f.unit, f.next\n\tFROM found f;\nEND;\n"
	print "COMMENT ON FUNCTION @extschema@._chpg_find_patterns(" arguments ") IS"
	print "'Findings of single patterns, by the rules that are a SELECT.\nRequests: none.';\n"
}

function write_documented(    k, r, list) {
	print "| rule | name | kind | finds | not judged without |"
	print "|---|---|---|---|---|"
	for (k = 1; k <= rules; k++) {
		r = order[k]
		if (scope[r] == "shared") continue
		list = needs[r]
		gsub(/, */, ", ", list)
		if (scope[r] in needed) list = needed[scope[r]] (list == "" ? "" : ", ") list
		print "| " id[r] " | `" rule_name[r] "` | " kind[r] " | " title[r] " | " list " |"
	}
}
