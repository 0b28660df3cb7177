// Opens pages in a headless Chromium, by its own protocol over pipes, and says what it makes of them, for t/report
// and dev/report-pictures.
//
//   page.js [--pictures DIR] [--picture FILE] [--modules DIR] PAGE...
//
// --pictures: writes what is seen of each page at the widths of VIEWS, as PNG of at most 2000 pixels of height.
// --picture: writes the top of the page alone, as on a desktop.
// --modules: a node_modules that has axe-core and html-validate, which then judge the page.
//
// Prints JSON, a member for each file:
//   tree        the document as [NAME, {ATTRIBUTE: VALUE}, [CHILD...]], in which a text is a string
//   requests    URLs that were requested beside the page itself
//   messages    what the browser logs, such as a violation of the page's policy
//   looks       by view, the computed color of the ground, and whether there are links to sections
//   scrolls     the views at which the page is wider than its window, with the elements that are
//   axe         violations that axe-core finds, by view: [RULE, IMPACT, TARGET, SUMMARY]
//   html        what html-validate's preset "recommended" says: [RULE, MESSAGE, LINE, COLUMN]

'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');
const {spawn} = require('child_process');
const {pathToFileURL} = require('url');

const VIEWS = {
	phone: {width: 400, height: 800, mobile: true},
	desktop: {width: 1280, height: 900},
	dark: {width: 1280, height: 900, scheme: 'dark'},
	// A4 at 96 dots an inch, without margins of 1 cm
	print: {width: 718, height: 1047, media: 'print', scheme: 'dark'}
};
const MOST_HEIGHT = 2000;
const TOP = {height: 1500, scale: 0.75};

class Browser
{
	constructor()
	{
		this.home = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
		this.process = spawn(process.env.CHROMIUM || 'chromium', [
			'--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--no-first-run',
			'--disable-extensions', '--disable-background-networking', '--disable-component-update', '--disable-sync',
			'--host-resolver-rules=MAP * ~NOTFOUND', '--force-color-profile=srgb', '--remote-debugging-pipe',
			`--user-data-dir=${this.home}`, 'about:blank'
		], {stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], env: {...process.env, HOME: this.home}});
		this.calls = new Map();
		this.listener = () => {};
		this.next = 0;
		this.log = '';
		this.process.stderr.on('data', data => { this.log = (this.log + data).slice(-4000); });
		this.ended = new Promise(resolve => this.process.on('close', resolve));
		const fail = why => {
			for (const {reject} of this.calls.values())
				reject(new Error(`chromium ${why}: ${this.log}`));
		};
		this.process.on('error', error => fail(error.message));
		this.process.on('close', status => fail(`ended with ${status}`));
		let rest = Buffer.alloc(0);
		this.process.stdio[4].on('data', data => {
			rest = Buffer.concat([rest, data]);
			for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1))
				this.take(JSON.parse(rest.subarray(0, end).toString()));
		});
		this.process.stdio[3].on('error', () => {});
	}

	take(message)
	{
		const call = this.calls.get(message.id);
		if (!call)
			return this.listener(message);
		this.calls.delete(message.id);
		if (message.error)
			call.reject(new Error(`${call.method}: ${message.error.message}`));
		else
			call.resolve(message.result);
	}

	send(method, params = {}, sessionId)
	{
		const id = ++this.next;
		return new Promise((resolve, reject) => {
			this.calls.set(id, {resolve, reject, method});
			this.process.stdio[3].write(JSON.stringify({id, method, params, sessionId}) + '\0');
		});
	}

	async close()
	{
		await this.send('Browser.close').catch(() => {});
		await this.ended;
		fs.rmSync(this.home, {recursive: true, force: true, maxRetries: 5});
	}
}

// In the page
function treeOf()
{
	const of = node => node.nodeType === Node.TEXT_NODE ? node.data :
		node.nodeType === Node.ELEMENT_NODE ?
			[node.localName, Object.fromEntries([...node.attributes].map(a => [a.name, a.value])), [...node.childNodes].map(of)] :
			[`#${node.nodeType}`, {}, []];
	return of(document.documentElement);
}

function tooWide()
{
	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth <= width)
		return null;
	return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1)
		.map(e => e.localName + (e.className.baseVal ?? e.className ? '.' + (e.className.baseVal ?? e.className) : '')).slice(0, 5);
}

function look()
{
	const nav = document.querySelector('nav');
	return {ground: getComputedStyle(document.body).backgroundColor, nav: !!nav && getComputedStyle(nav).display !== 'none'};
}

async function inspect(browser, file, {pictures, picture, modules})
{
	const url = pathToFileURL(path.resolve(file)).href;
	const {targetId} = await browser.send('Target.createTarget', {url: 'about:blank'});
	const {sessionId} = await browser.send('Target.attachToTarget', {targetId, flatten: true});
	const send = (method, params) => browser.send(method, params, sessionId);
	const evaluate = async (expression, awaitPromise = false) => {
		const {result, exceptionDetails} = await send('Runtime.evaluate', {expression, awaitPromise, returnByValue: true});
		if (exceptionDetails)
			throw new Error(`${file}: ${exceptionDetails.exception?.description || exceptionDetails.text}`);
		return result.value;
	};
	const found = {requests: [], messages: [], looks: {}, scrolls: {}, axe: {}};
	let loaded;
	const load = new Promise(resolve => { loaded = resolve; });
	browser.listener = ({method, params}) => {
		if (method === 'Page.loadEventFired')
			loaded();
		else if (method === 'Network.requestWillBeSent' && params.request.url !== url)
			found.requests.push(params.request.url);
		else if (method === 'Log.entryAdded')
			found.messages.push(params.entry.text);
		else if (method === 'Runtime.consoleAPICalled')
			found.messages.push(params.args.map(a => a.value).join(' '));
	};
	for (const domain of ['Page', 'Network', 'Log', 'Runtime'])
		await send(`${domain}.enable`);
	await send('Page.navigate', {url});
	await load;
	found.tree = await evaluate(`(${treeOf})()`);
	for (const [name, view] of Object.entries(VIEWS)) {
		await send('Emulation.setDeviceMetricsOverride', {width: view.width, height: view.height, deviceScaleFactor: 1, mobile: !!view.mobile});
		await send('Emulation.setEmulatedMedia', {media: view.media || '', features: [{name: 'prefers-color-scheme', value: view.scheme || 'light'}]});
		found.looks[name] = await evaluate(`(${look})()`);
		const wide = await evaluate(`(${tooWide})()`);
		if (wide)
			found.scrolls[name] = wide;
		if (picture && name === 'desktop')
			fs.writeFileSync(picture, await shot(send, {x: 0, y: 0, width: view.width, ...TOP}));
		if (pictures)
			await takePictures(send, path.join(pictures, `${path.basename(file, '.html')}-${name}`), view.width);
		if (modules && name !== 'print') {
			// It is evaluated as the developer tools would, beside the page's policy.
			await evaluate(fs.readFileSync(path.join(modules, 'axe-core/axe.min.js'), 'utf8') + ';0');
			found.axe[name] = await evaluate(`axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.flatMap(v =>
				v.nodes.slice(0, 3).map(n => [v.id, v.impact, n.target.join(' '), n.failureSummary])))`, true);
		}
	}
	await browser.send('Target.closeTarget', {targetId});
	if (modules)
		found.html = await validated(file, modules);
	return found;
}

async function shot(send, clip)
{
	const {data} = await send('Page.captureScreenshot', {captureBeyondViewport: true, clip: {scale: 1, ...clip}});
	return Buffer.from(data, 'base64');
}

async function takePictures(send, name, width)
{
	const {cssContentSize: {height}} = await send('Page.getLayoutMetrics');
	for (let y = 0, number = 1; y < height && number <= 20; y += MOST_HEIGHT, number++) {
		const clip = {x: 0, y, width, height: Math.min(MOST_HEIGHT, height - y)};
		fs.writeFileSync(`${name}-${number}.png`, await shot(send, clip));
	}
}

async function validated(file, modules)
{
	const {HtmlValidate, StaticConfigLoader} = require(path.join(path.resolve(modules), 'html-validate'));
	const html = new HtmlValidate(new StaticConfigLoader({extends: ['html-validate:recommended']}));
	const report = await html.validateString(fs.readFileSync(file, 'utf8'), file);
	return report.results.flatMap(r => r.messages.map(m => [m.ruleId, m.message, m.line, m.column]));
}

async function main(args)
{
	const options = {};
	while (args.length && args[0].startsWith('--'))
		options[args.shift().slice(2)] = args.shift();
	const browser = new Browser();
	const found = {};
	try {
		for (const file of args)
			found[file] = await inspect(browser, file, options);
	} finally {
		await browser.close();
	}
	process.stdout.write(JSON.stringify(found));
}

main(process.argv.slice(2)).catch(error => {
	process.stderr.write(`${error.stack}\n`);
	process.exitCode = 1;
});
