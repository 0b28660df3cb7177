// Validates recorded requests and responses against OpenAPI documents with ajv, for
// t/functions/schemas.pl.  Works with ajv 6 and 8.
//
// Reads {documents: {NAME: DOCUMENT}, exchanges: [EXCHANGE]} from stdin, in which an exchange has the fields
// of the emulator's journal: method, path, raw_query, headers, request_text, status, response_type and
// response_text.  Each document is checked for itself; a member or parameter that none of them has is a
// violation of "all".
//
// Prints {violations: {TEXT: NUMBER}, operations: {NAME: NUMBER}, exchanges: NUMBER}: the texts say which document,
// operation and place; the operations are those of the documents, with the number of their successful responses.

'use strict';

const Ajv = require('ajv');
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const ajv = newValidator();
const validators = new Map();
const violations = {};
const documents = Object.entries(input.documents).map(([name, document]) => ({name, operations: operationsOf(document)}));
const successes = {};

function newValidator()
{
	const common = {allErrors: true, verbose: true};
	// Version 6 has the formats, 8 has them in a module of its own.
	if (require('ajv/package.json').version.startsWith('6.'))
		return new Ajv({...common, jsonPointers: true, format: 'full'});
	const validator = new Ajv({...common, strict: false});
	require('ajv-formats')(validator);
	return validator;
}

// Documents

// The operations: {name, method, segments, parameters, body, responses}, where body and each response have the
// schemas by content type, or none.
function operationsOf(document)
{
	const operations = [];
	for (const [path, item] of Object.entries(document.paths)) {
		for (const method of METHODS.filter(key => item[key])) {
			const operation = item[method];
			const responses = {};
			for (const [status, response] of Object.entries(operation.responses))
				responses[status] = contents(document, response);
			operations.push({
				name: method.toUpperCase() + ' ' + path.replace(/\{\w+\}/g, '{}'),
				method: method.toUpperCase(),
				segments: path.split('/'),
				parameters: [...item.parameters || [], ...operation.parameters || []].map(parameter => {
					parameter = resolved(document, parameter);
					return {...parameter, schema: plain(document, parameter.schema)};
				}),
				body: contents(document, operation.requestBody),
				responses
			});
		}
	}
	return operations;
}

function contents(document, holder)
{
	const content = resolved(document, holder || {}).content;
	if (!content)
		return null;
	return Object.fromEntries(Object.entries(content).map(([type, media]) => [normalType(type), plain(document, media.schema)]));
}

function resolved(document, node)
{
	while (node.$ref)
		node = node.$ref.split('/').slice(1).reduce((at, key) => at[key.replace(/~1/g, '/').replace(/~0/g, '~')], document);
	return node;
}

// A schema of JSON Schema draft-07, without references. OpenAPI 3.1 has draft 2020-12, of which the documents use
// nothing that draft-07 reads otherwise but members beside $ref; 3.0 has "nullable".
function plain(document, schema, depth = 0)
{
	if (typeof schema !== 'object' || schema === null)
		return schema;
	if (depth > 20)
		throw new Error('a circle of references');
	const next = node => plain(document, node, depth + 1);
	const {$ref, nullable, ...own} = schema;
	if (own.properties)
		own.properties = Object.fromEntries(Object.entries(own.properties).map(([name, node]) => [name, next(node)]));
	for (const key of ['items', 'additionalProperties'])
		if (own[key] !== undefined)
			own[key] = next(own[key]);
	for (const key of ['allOf', 'anyOf', 'oneOf'])
		if (own[key])
			own[key] = own[key].map(next);
	if (own.properties && !own.type)
		own.type = 'object';
	if ($ref)
		own.allOf = [...own.allOf || [], next(resolved(document, schema))];
	return nullable ? {anyOf: [own, {type: 'null'}]} : own;
}

// The schema of what any of these schemas knows: members and elements.  It is closed, unless anything goes by one of
// them, or all say that there are further members.
function known(schemas)
{
	const all = schemas.flatMap(alternatives);
	const objects = all.filter(schema => schema.properties);
	const open = all.some(schema => schema === true || Object.keys(schema).length === 0 || (schema.type === 'object' && !schema.properties)) ||
		objects.every(schema => schema.additionalProperties);
	const properties = {};
	for (const name of new Set(all.flatMap(schema => Object.keys(schema.properties || {}))))
		properties[name] = known(all.map(schema => (schema.properties || {})[name]).filter(schema => schema !== undefined));
	const items = all.map(schema => schema.items).filter(schema => schema);
	return {
		...Object.keys(properties).length ? {properties} : {},
		...Object.keys(properties).length && !open ? {additionalProperties: false} : {},
		...items.length ? {items: known(items)} : {}
	};
}

function alternatives(schema)
{
	const parts = [...schema.allOf || [], ...schema.anyOf || [], ...schema.oneOf || []];
	const {allOf, anyOf, oneOf, ...own} = schema;
	return parts.length && !Object.keys(own).length ? parts.flatMap(alternatives) : [own, ...parts.flatMap(alternatives)];
}

// Exchanges

function check(exchange)
{
	const segments = exchange.path.split('/').map(decodeURIComponent);
	const matching = documents.flatMap(({operations}) => operations).filter(operation => isOf(operation, exchange.method, segments));
	// Of /postgres/prometheus and /postgres/{postgresId} the first
	const name = matching.sort((one, other) => variables(one) - variables(other)).map(operation => operation.name)[0];
	if (!name)
		return report('all', `${exchange.method} ${exchange.path}`, 'request', 'no such operation');
	const found = documents.flatMap(({name: document, operations}) =>
		operations.filter(operation => operation.name === name).map(operation => ({document, operation})));
	if (exchange.status >= 200 && exchange.status < 300)
		successes[name]++;
	checkParameters(name, found, segments, exchange.raw_query);
	checkContent(name, found, 'request', found.map(({operation}) => operation.body), exchange.headers['content-type'], exchange.request_text);

	const place = `response ${exchange.status}`;
	const responses = found.map(({document, operation}) => {
		if (exchange.status in operation.responses)
			return operation.responses[exchange.status];
		report(document, name, place, 'status is not documented');
		return operation.responses[exchange.status < 300 ? 200 : 400];
	});
	checkContent(name, found, place, responses, exchange.response_type, exchange.response_text);
}

function isOf(operation, method, segments)
{
	return operation.method === method && operation.segments.length === segments.length &&
		operation.segments.every((segment, i) => segment.startsWith('{') || segment === segments[i]);
}

function variables(operation)
{
	return operation.segments.filter(segment => segment.startsWith('{')).length;
}

function checkParameters(name, found, segments, query)
{
	const sent = {};
	for (const [key, value] of new URLSearchParams(query)) {
		if (key in sent)
			report('all', name, `query ${key}`, 'given twice');
		sent[key] = value;
		if (!found.some(({operation}) => operation.parameters.some(parameter => parameter.in === 'query' && parameter.name === key)))
			report('all', name, `query ${key}`, 'unknown');
	}
	for (const {document, operation} of found) {
		for (const parameter of operation.parameters) {
			const place = `${parameter.in} ${parameter.name}`;
			const value = parameter.in === 'path' ? segments[operation.segments.indexOf(`{${parameter.name}}`)] : sent[parameter.name];
			if (value !== undefined)
				validate(document, name, place, parameter.schema, /^-?\d+(\.\d+)?$/.test(value) && parameter.schema.type !== 'string' ? +value : value);
			else if (parameter.required)
				report(document, name, place, 'missing');
		}
	}
}

// contents has, for each of the documents, the schemas by content type; null stands for no content.
function checkContent(name, found, place, contents, type, text)
{
	const documented = contents.filter(content => content);
	if (text === '' || text === undefined || text === null) {
		if (documented.length && place !== 'response 204')
			report('all', name, place, 'no content');
		return;
	}
	if (!documented.length)
		return report('all', name, place, 'content is not documented');

	const normal = normalType(type || 'none');
	let value = text;
	if (normal === 'application/json') {
		try {
			value = JSON.parse(text);
		} catch (error) {
			return report('all', name, place, 'not JSON');
		}
	}
	// The documents require no member of the envelope.
	for (const member of ['status', 'requestId', 'result', 'error'])
		if (place !== 'request' && contents.some(content => ((content || {})[normal] || {}).properties?.[member]) && !(member in Object(value)))
			report('all', name, `${place} ${member}`, 'missing');
	const schemas = [];
	contents.forEach((content, i) => {
		if (!content)
			return;
		if (!content[normal])
			return report(found[i].document, name, place, `content type ${normal}, not ${Object.keys(content).join(' or ')}`);
		schemas.push(content[normal]);
		validate(found[i].document, name, place, content[normal], value);
	});
	if (schemas.length)
		validate('all', name, place, schemas, value);
}

function normalType(type)
{
	return type.toLowerCase().replace(/\s/g, '');
}

// schema: a schema, or a list of those that are to know all members
function validate(document, name, place, schema, value)
{
	const key = document + '\n' + JSON.stringify(schema);
	if (!validators.has(key))
		validators.set(key, ajv.compile(Array.isArray(schema) ? known(schema) : schema));
	const validator = validators.get(key);
	if (validator(value))
		return;
	// Why none of several alternatives holds is left out.
	for (const error of validator.errors.filter(error => !/\/(anyOf|oneOf)\/\d/.test(error.schemaPath)))
		report(document, name, (place + ' ' + placeOf(error)).trim(), messageOf(error));
}

function placeOf(error)
{
	const {missingProperty, additionalProperty} = error.params;
	const path = (error.instancePath ?? error.dataPath).split('/').slice(1);
	const member = missingProperty ?? (error.keyword === 'additionalProperties' ? additionalProperty : undefined);
	if (member !== undefined)
		path.push(member);
	return path.map(key => /^\d+$/.test(key) ? '[]' : key).join('.').replace(/\.\[\]/g, '[]');
}

function messageOf(error)
{
	switch (error.keyword) {
		case 'required': return 'missing';
		case 'additionalProperties': return 'unknown';
		case 'type': return `${typeOf(error.data)}, not ${[].concat(error.schema).join(' or ')}`;
		case 'enum': return `not in enum: ${error.data}`;
		case 'const': return `not ${error.schema}: ${error.data}`;
		case 'oneOf': return `not exactly one of ${error.schema.length} alternatives`;
		case 'minimum': return `less than ${error.schema}`;
		case 'maximum': return `more than ${error.schema}`;
		default: return `not of ${error.keyword} ${error.schema}`;
	}
}

function typeOf(value)
{
	if (value === null)
		return 'null';
	if (Array.isArray(value))
		return 'array';
	return typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'fraction') : typeof value;
}

function report(document, name, place, message)
{
	const text = `${document}: ${name}: ${place}: ${message}`;
	violations[text] = (violations[text] || 0) + 1;
}

for (const {operations} of documents)
	for (const {name} of operations)
		successes[name] = 0;
input.exchanges.forEach(check);
process.stdout.write(JSON.stringify({violations, operations: successes, exchanges: input.exchanges.length}));
