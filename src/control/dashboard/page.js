// Polls `apps` once a second, shows every app, and calls `enable`, `disable` and `stop`.
// Names and reasons may hold anything: they only ever become text.

const endpoint = new URL('.', import.meta.url).pathname;
const pollEvery = 1000;
const pollTimeout = 4000;
const chartSpans = [60_000, 120_000, 300_000];
const manyApps = 8;
const eventsKept = 20;
const units = [['d', 86400, Infinity], ['h', 3600, 24], ['min', 60, 60], ['s', 1, 60]];

const meaning = {
    paused: 'Requests are held',
    stopped: 'Requests are answered 503',
    draining: 'Held requests are released in order',
    open: 'Requests pass',
};

const waitsFor = {
    "client's body": 'the client’s body',
    connection: 'a connection to the app',
    app: 'the app',
    client: 'the client to take the answer',
    nginx: 'nginx',
};

const enders = { lease: 'its lease', rollback: 'a rollback' };

// What a button does in a state: its label before and after the app's name, what it will do, and
// what is said when that is done.
const verbs = ['stop', 'enable', 'disable'];
const actions = {
    stop: {
        open: ['Stop', '', 'Every request is answered 503 at once, until somebody resumes the app.', 'Stopped.'],
        paused: ['Stop', '', 'Held requests and new ones are answered 503 at once.', 'Stopped.'],
        draining: ['Stop', '', 'The drain ends now. Requests that are still held and new ones are answered 503 at once.', 'Stopped.'],
    },
    enable: {
        open: ['Pause', '', 'New requests are held in nginx. They are released in order when you resume.', 'Paused.'],
        paused: ['Extend', '’s pause', 'The lease counts from now. It moves the end to a later time only.', 'Changed.'],
        draining: ['Pause', ' again', 'The drain ends now. Requests that are still held keep their places.', 'Paused again.'],
        stopped: ['Pause', '', 'New requests are held again, instead of being answered 503.', 'Paused.'],
    },
    disable: {
        paused: ['Resume', '', 'All held requests go on to the app, in the order in which they came.', 'Resumed.'],
        draining: ['Pace', '’s drain', 'All requests that are still held are released at this pace.', 'Changed.'],
        stopped: ['Resume', '', 'The app opens: new requests pass.', 'Resumed.'],
    },
};

const find = (selector, within = document) => within.querySelector(selector);
const count = new Intl.NumberFormat('en-US').format;
const compareNames = new Intl.Collator('en', { numeric: true }).compare;
const nameOf = ({ app }) => app || 'default app';

// Writes only what changed: selections stay, screen readers keep quiet.
function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

function element(tag, ...content) {
    const node = document.createElement(tag);
    node.append(...content);
    return node;
}

// The two greatest units that are not 0.
function duration(seconds, digits = 0) {
    if (seconds < 10) return `${seconds.toFixed(digits)}\u00a0s`;
    const parts = units.map(([unit, size, most]) => [Math.floor(seconds / size) % most, unit]);
    const first = parts.findIndex(([number]) => number > 0);
    return parts.slice(first, first + 2).filter(([number]) => number > 0).map((part) => part.join('\u00a0')).join(' ');
}

// In the browser's time zone, as ISO 8601 (and Sweden) writes it; with the date unless that is today's.
function time(date) {
    const [day, clock] = date.toLocaleString('sv-SE').split(' ');
    return date.toDateString() === new Date().toDateString() ? clock : `${day} ${clock}`;
}

// ---- the picture: what was held and in flight over the last minutes

class Chart {
    samples = [];

    // `continues`: this page has watched without a break since the sample before.
    add(at, { held, in_flight: flight, state }, continues) {
        const last = continues ? this.samples.at(-1) : undefined;
        if (last) last.until = at;
        const run = last?.run ?? at;
        const band = state === last?.state ? last.band : at;
        this.samples.push({ at, until: at, held, flight, state, run, band });
        this.samples = this.samples.filter((sample) => sample.at >= at - chartSpans.at(-1));
    }

    draw(svg) {
        const { at: now, held, flight } = this.samples.at(-1);
        const most = (key) => Math.max(...this.samples.map((sample) => sample[key]));
        const greatest = Math.max(10, most('held'), most('flight'));
        const step = 10 ** Math.floor(Math.log10(greatest));
        const top = [1, 2, 5, 10].map((factor) => factor * step).find((value) => value >= greatest);
        const span = chartSpans.find((span) => span >= now - this.samples[0].at);
        const x = (at) => (300 * (1 - (now - at) / span)).toFixed(1);
        const y = (value) => (98 - (94 * value) / top).toFixed(1);

        const grouped = (samples, key) => [...Map.groupBy(samples, (sample) => sample[key]).values()];
        const line = (run, key) => run.map((sample) => `${x(sample.at)} ${y(sample[key])}`).join('L');
        const area = (run) => `M${x(run[0].at)} 98L${line(run, 'held')}V98Z`;
        const band = (run) => `M${x(run[0].at)} 0H${x(run.at(-1).until)}V98H${x(run[0].at)}Z`;
        const set = (path, parts) => find(path, svg).setAttribute('d', parts.join(''));

        const runs = grouped(this.samples, 'run');
        set('.fill', runs.map(area));
        for (const key of ['held', 'flight']) set(`.${key}`, runs.map((run) => `M${line(run, key)}`));
        for (const state of ['paused', 'draining', 'stopped']) {
            set(`.${state}`, grouped(this.samples.filter((sample) => sample.state === state), 'band').map(band));
        }
        const past = duration(span / 1000);
        svg.ariaLabel = `Over the last ${past}: held ${count(held)} now, at most ${count(most('held'))}; `
            + `in flight ${count(flight)} now, at most ${count(most('flight'))}.`;
        return { top: count(top), from: `${past} ago` };
    }
}

// ---- one app

class Card {
    chart = new Chart();

    constructor(startsOpen) {
        this.node = find('#card').content.firstElementChild.cloneNode(true);
        this.fields = {};
        for (const node of this.node.querySelectorAll('[data-field]')) this.fields[node.dataset.field] = node;
        for (const verb of verbs) this.fields[verb].addEventListener('click', () => ask(verb, this));
        this.fields.more.open = startsOpen;
    }

    show(app, now, continues) {
        const { fields } = this;
        const before = this.app;
        this.app = app;
        this.shownAt = now;
        this.follow(before);
        this.chart.add(now, app, continues);
        this.node.dataset.state = app.state;
        const drain = app.last_drain;
        const values = {
            name: nameOf(app),
            state: app.state,
            reason: app.reason ?? '',
            held: count(app.held),
            flight: count(app.in_flight),
            upgraded: app.upgraded ? `+ ${count(app.upgraded)} upgraded` : '',
            abandoned: app.abandoned ? `+ ${count(app.abandoned)} given up in the last minute` : '',
            room: count(app.room),
            drain: drain ? `Last drain, ${time(new Date(drain.ended))}: ${drained(drain)}.` : 'No drain yet.',
            ...this.chart.draw(fields.chart),
        };
        for (const [name, text] of Object.entries(values)) write(fields[name], text);
        for (const node of fields.totals.querySelectorAll('dd')) write(node, count(app.totals[node.dataset.total] ?? 0));
        this.showOldest();
        this.showButtons();
        this.tick(now);
    }

    // What changes with the clock alone.
    tick(now) {
        const { app, fields } = this;
        const since = app.since && new Date(app.since);
        const age = since ? `since ${time(since)} (${duration(Math.max(0, now - since) / 1000)})` : 'never paused';
        const parts = [doing(app), age, app.by && `by ${app.by}`, ...terms(app, now)];
        write(fields.cause, parts.filter(Boolean).join(' · '));
        fields.cause.classList.toggle('bad', app.state === 'paused' && app.expired_to_app > 0);
        const waited = app.oldest_held_seconds + (now - this.shownAt) / 1000;
        write(fields.oldest, app.held ? duration(waited, 1) : '–');
        const left = app.until && Math.max(0, Math.ceil((new Date(app.until) - now) / 1000));
        const none = ['paused', 'stopped'].includes(app.state) ? 'no end' : '–';
        write(fields.lease, app.until ? duration(left) : none);
        fields.lease.classList.toggle('soon', left !== null && left <= 10);
    }

    // Which requests a drain waits for.
    showOldest() {
        const oldest = this.app.state === 'open' ? [] : this.app.oldest_in_flight;
        const lines = oldest.map((one) => [`${one.method} ${one.uri}`, `from ${one.client}`, duration(one.seconds, 1),
            `waits for ${waitsFor[one.waits_for]}`].join(' · '));
        this.fields.flying.hidden = !lines.length;
        const list = this.fields.oldestFlight;
        while (list.children.length > lines.length) list.lastChild.remove();
        lines.forEach((line, index) => write(list.children[index] ?? list.appendChild(element('li')), line));
    }

    showButtons() {
        const { enable, disable, stop } = this.fields;
        const focused = document.activeElement;
        for (const verb of verbs) {
            const button = this.fields[verb];
            const action = actions[verb][this.app.state];
            button.hidden = !action;
            if (!action) continue;
            button.ariaLabel = `${action[0]} ${nameOf(this.app)}${action[1]}`;
            write(button, `${action[0]}…`);
        }
        if ([disable, stop].includes(focused) && focused.hidden) enable.focus();
    }

    // Says what happened since the poll before. What a pause cost counts from its first sight.
    follow(before) {
        const { app } = this;
        const anew = before && beganAnew(app, before);
        if (anew) {
            this.start = null;
            record(app, 'Its counters started again: nginx was restarted, or has a new zone.');
        } else if (before?.state === 'open') {
            this.start = { totals: before.totals, whole: true };
        }
        this.start ??= { totals: app.totals, whole: false };
        // A released request may fail long after its pause: what was said then is not all.
        if (anew || app.state !== 'open' || app.pause !== before?.pause) {
            this.ended = null;
        } else if (this.ended && app.totals.failed > before.totals.failed) {
            this.say(verdict(app, this.ended.before, this.ended.start));
        }
        if (!before || asSet(before) === asSet(app)) return;
        if (before.state !== app.state && app.state === 'open') {
            this.ended = anew ? null : { before, start: this.start };
            this.say(anew ? 'Open. What the pause cost is not known: the counters started again.' : verdict(app, before, this.start));
        } else if (asSet(app) !== this.told) {
            if (before.state !== app.state) this.fields.note.hidden = true;
            record(app, before.state === app.state ? changes(app, before) : arrival(app));
        }
        this.told = null;
    }

    say(text) {
        this.fields.note.hidden = false;
        write(this.fields.note, text);
        record(this.app, text);
    }
}

// What happens to new requests.
function doing({ state, expired_to_app: toApp }) {
    if (state !== 'paused' || !toApp) return meaning[state];
    return `Expired requests are passed on to the app although it is paused, ${count(toApp)} up to now`;
}

// What was asked for, besides the lease.
function terms(app, now) {
    const until = app.waiting_until && new Date(app.waiting_until);
    const left = until && duration(Math.max(0, Math.ceil((until - now) / 1000)));
    return [
        until && `a caller waits for quiet: may be rolled back until ${time(until)} (${left})`,
        app.pace && `${app.state === 'draining' ? '' : 'then '}${paceOf(app.pace)}`,
        app.state === 'draining' && app.drained_by && `ended by ${enders[app.drained_by] ?? app.drained_by}`,
    ];
}

function paceOf({ spread, concurrency, ends }) {
    const over = spread > 0 && `spread over ${duration(spread)}`;
    const end = ends && `until ${time(new Date(ends))}`;
    return [over, end, concurrency > 0 && `${count(concurrency)} at a time`].filter(Boolean).join(', ');
}

// Whether nginx counts from 0 again: earlier counts say nothing then.
function beganAnew({ pause, totals }, before) {
    return pause < before.pause || Object.keys(totals).some((key) => totals[key] < before.totals[key]);
}

// All that a caller can set.
function asSet({ state, pause, until, waiting_until: waits, reason, pace }) {
    return JSON.stringify([state, pause, until, waits, reason, pace?.spread, pace?.concurrency]);
}

function arrival({ state, by, reason, drained_by: ender }) {
    const who = state === 'draining' ? ender && `ended by ${enders[ender] ?? ender}` : by && `by ${by}`;
    return `${[`Now ${state}`, who, reason].filter(Boolean).join(', ')}.`;
}

// What another caller changed.
function changes(app, before) {
    if (app.pause !== before.pause) return app.by ? `Another pause, by ${app.by}.` : 'It was paused meanwhile, and is open again.';
    const set = (key) => app[key] !== before[key];
    const parts = [
        set('until') && (app.until ? `the lease ends at ${time(new Date(app.until))}` : 'no lease any more'),
        set('waiting_until') && (app.waiting_until ? `may be rolled back until ${time(new Date(app.waiting_until))}` : 'it cannot be rolled back any more'),
        set('reason') && (app.reason ? `the reason is ${app.reason}` : 'no reason any more'),
        app.pace?.spread !== before.pace?.spread || app.pace?.concurrency !== before.pace?.concurrency
            ? (app.pace ? paceOf(app.pace) : 'all at once') : '',
    ];
    return `Changed: ${parts.filter(Boolean).join('; ')}.`;
}

function drained({ released, failed, seconds }) {
    const bad = failed ? `, ${count(failed)} of them answered 502, 503 or 504 by nginx,` : '';
    return `${count(released)} released${bad} in ${duration(seconds, 3)}`;
}

// How a pause ended, as far as this page saw it.
function verdict({ last_drain: drain, totals }, before, { totals: start, whole }) {
    const isNew = drain && drain.ended !== before.last_drain?.ended;
    const end = isNew && drain.released ? `Open again: ${drained(drain)}.` : 'Open again.';
    const costs = ['failed', 'expired', 'rejected', 'stopped', 'left', 'lost'].map((key) => [totals[key] - start[key], key]);
    const happened = costs.filter(([number]) => number > 0).map(([number, key]) => `${count(number)} ${key}`);
    const since = whole ? 'During the pause' : 'Since this page first saw the pause';
    return `${end} ${since}: ${happened.join(', ') || 'no request failed, expired, was rejected, left or was lost'}.`;
}

// What this page saw, newest first. Without an app it is about nginx.
function record(app, text) {
    const list = find('#events ol');
    const name = app ? nameOf(app) : '';
    list.prepend(element('li', element('time', time(new Date())), ' ', element('bdi', name), ' ', text));
    while (list.children.length > eventsKept) list.lastChild.remove();
    find('#events').hidden = false;
}

// ---- the dialogs

let question = null;

function ask(verb, card) {
    const dialog = find(`#${verb}`);
    const { state, pause } = card.app;
    const [before, after, effect, done] = actions[verb][state];
    question = { dialog, verb, card, done, state, pause, request: null, sure: verb !== 'stop' };
    const title = () => [`${before} `, element('bdi', nameOf(card.app)), after];
    find('h2', dialog).replaceChildren(...title());
    find('.main', dialog).replaceChildren(...title());
    find('form', dialog).reset();
    write(find('.effect', dialog), effect);
    write(find('.problem', dialog), '');
    showProgress(question);
    dialog.showModal();
}

// A stop costs every held request an error: the page asks twice.
function makeSure(asked) {
    const { dialog, card } = asked;
    asked.sure = true;
    const held = card.app.held === 1 ? '1 request that is held is' : `${count(card.app.held)} requests that are held are`;
    write(find('.effect', dialog), `Are you sure? ${held} answered 503 now, and so is every new request.`);
    find('.main', dialog).replaceChildren('Yes, stop ', element('bdi', nameOf(card.app)));
}

function showProgress({ dialog, request, card }) {
    const wait = request?.wait;
    const elapsed = wait && duration((performance.now() - request.began) / 1000);
    find('fieldset', dialog).disabled = Boolean(request);
    find('.main', dialog).ariaDisabled = String(Boolean(request));
    write(find('.cancel', dialog), wait ? 'Cancel and roll back' : 'Cancel');
    write(find('.progress', dialog), wait ? `Requests are held. Waiting for quiet, at most ${wait}.` : '');
    write(find('.elapsed', dialog), wait ? `After ${elapsed}: ${count(card.app.in_flight)} in flight.` : '');
}

// So that a page with an old state does not touch another caller's pause.
function guard({ verb, state, pause }) {
    if (verb === 'disable' || state === 'paused' || state === 'stopped') return [['id', pause]];
    return verb === 'enable' && state === 'open' ? [['new', 1]] : [];
}

async function carryOut(asked) {
    const { dialog, verb, card, done } = asked;
    const fields = [...new FormData(find('form', dialog))].map(([name, value]) => [name, value.trim()]);
    const given = fields.filter(([, value]) => value);
    const parameters = [['format', 'json'], ...guard(asked), ...given];
    const query = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
    const { wait } = Object.fromEntries(given);
    const abort = new AbortController();
    asked.request = { abort, wait, began: performance.now() };
    write(find('.problem', dialog), '');
    showProgress(asked);
    find('.main', dialog).focus();
    try {
        const url = `${endpoint}${verb}?app=${card.app.app_encoded}&${query}`;
        const answer = await fetch(url, { method: 'POST', signal: abort.signal })
            .catch(() => { throw new Error('nginx cannot be reached. It may have done this already.'); });
        if (answer.status !== 200 && answer.status !== 304) throw new Error(await explain(answer));
        const now = answer.status === 200 ? await answer.json() : { changed: false };
        if (now.state) card.told = asSet(now);
        const quiet = wait ? ' The app is quiet.' : '';
        card.say(now.changed ? `${done}${quiet}` : 'Nothing was changed: it was so already.');
        asked.request = null;
        dialog.close();
    } catch (error) {
        asked.request = null;
        showProgress(asked);
        if (!abort.signal.aborted) write(find('.problem', dialog), error.message);
        else card.say(wait ? 'Cancelled: nginx rolls the pause back.' : 'Cancelled, perhaps too late.');
    }
    poll();
}

// The server's own words.
async function explain(answer) {
    const body = await answer.text();
    const advice = answer.status === 409 || answer.status === 410 ? '. The app has changed meanwhile: close this and look again.' : '';
    try {
        return `${answer.status}: ${JSON.parse(body).error}${advice}`;
    } catch {
        return `${answer.status} ${answer.statusText}`;
    }
}

for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('submit', (event) => {
        event.preventDefault();
        if (question.request) return;
        if (question.sure) carryOut(question);
        else makeSure(question);
    });
    find('.cancel', dialog).addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
        question.request?.abort.abort();
        const { enable, [question.verb]: pressed } = question.card.fields;
        (pressed.hidden ? enable : pressed).focus();
    });
}

// ---- polling

const cards = new Map();
let server = null;
let failingSince = null;
let nextPoll = 0;

const serverNow = () => server.now + performance.now() - server.at;

async function poll() {
    const asked = performance.now();
    try {
        const answer = await fetch(`${endpoint}apps`, { cache: 'no-store', signal: AbortSignal.timeout(pollTimeout) })
            .catch(() => { throw new Error('nginx cannot be reached'); });
        const refused = [401, 403].includes(answer.status) ? 'Access refused: ' : '';
        if (!answer.ok) throw new Error(`${refused}nginx answers ${answer.status}`);
        const { now, apps } = await answer.json();
        if (asked >= (server?.asked ?? 0)) {
            server = { asked, now: Date.parse(now), at: (asked + performance.now()) / 2, seen: new Date() };
            showApps(apps);
        }
        if (failingSince) record(null, `nginx answers again, after ${duration((Date.now() - failingSince) / 1000)}.`);
        failingSince = null;
        showTrouble('');
    } catch (error) {
        failingSince ??= new Date();
        const old = server ? `The page shows the state of ${time(server.seen)}. ` : '';
        showTrouble(`${error.message}, since ${time(failingSince)}. ${old}Still trying.`);
    }
    clearTimeout(nextPoll);
    nextPoll = setTimeout(poll, pollEvery);
}

function showTrouble(text) {
    find('#trouble').hidden = !text;
    write(find('#trouble'), text);
    write(find('#pulse'), text ? 'Not live' : 'Live');
    document.body.classList.toggle('old', Boolean(text));
}

function showApps(apps) {
    const now = serverNow();
    const known = new Set(apps.map((app) => app.app_encoded));
    for (const [name, { node }] of cards) {
        if (!known.has(name) && cards.delete(name)) node.remove();
    }
    for (const app of apps) {
        if (!cards.has(app.app_encoded)) cards.set(app.app_encoded, new Card(apps.length <= 2));
        cards.get(app.app_encoded).show(app, now, !failingSince);
    }
    const file = apps[0]?.state_file ?? 'off';
    find('#file').hidden = ['off', 'ok'].includes(file);
    write(find('#file'), `The state file ${file}`);
    find('#filter').hidden = apps.length <= manyApps;
    find('#apps').classList.toggle('many', apps.length > manyApps);
    find('#none').hidden = apps.length > 0;
    write(find('#none'), 'No app is known yet.');
    arrange();
    filter();
    summarize(apps);
}

// Apps that are not open first, then by name. Moving a node must not take the focus from it.
function arrange() {
    const focused = document.activeElement;
    const list = find('#apps');
    const isOpen = ({ app }) => Number(app.state === 'open');
    const order = [...cards.values()].sort((a, b) => isOpen(a) - isOpen(b) || compareNames(a.app.app, b.app.app));
    order.forEach(({ node }, index) => {
        if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
    });
    if (document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function filter() {
    const sought = find('#filter').hidden ? '' : find('#sought').value.trim().toLowerCase();
    for (const { app, node } of cards.values()) {
        node.hidden = !`${nameOf(app)}\n${app.state}`.toLowerCase().includes(sought);
    }
    const shown = [...cards.values()].filter(({ node }) => !node.hidden);
    write(find('#filter output'), `${shown.length} of ${cards.size}`);
}

function summarize(apps) {
    const number = (state) => apps.filter((app) => app.state === state).length;
    const words = Object.keys(meaning).filter(number).map((state) => `${number(state)} ${state}`);
    write(find('#summary'), words.join(', '));
    document.title = [...words.filter((word) => !word.endsWith(' open')), 'intermission'].join(' · ');
}

write(find('#host'), location.host);
find('#sought').addEventListener('input', filter);
setInterval(() => {
    if (question) showProgress(question);
    if (!failingSince) cards.forEach((card) => card.tick(serverNow()));
}, 250);
poll();
