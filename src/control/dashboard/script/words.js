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
    stopped: 'Requests are answered with 503',
    draining: 'Held requests are released in order',
    away: 'nginx cannot reach the app: requests are held until it can',
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
        open: ['Stop', '', 'Every request is answered with 503 at once, until somebody resumes the app.', 'Stopped.'],
        paused: ['Stop', '', 'Held requests and new ones are answered with 503 at once.', 'Stopped.'],
        draining: ['Stop', '', 'The drain ends now. Requests that are still held and new ones are answered with 503 at once.', 'Stopped.'],
        away: ['Stop', '', 'Held requests and new ones are answered with 503 at once.', 'Stopped.'],
    },
    enable: {
        open: ['Pause', '', 'New requests are held in nginx. They are released in order when you resume.', 'Paused.'],
        paused: ['Extend', '’s pause', 'The new lease begins now. It can move the end of the pause only to a later time.', 'Changed.'],
        draining: ['Pause', ' again', 'The drain ends now. Requests that are still held keep their tickets.', 'Paused again.'],
        away: ['Pause', '', 'Requests are held until you resume, even if the app can be reached before.', 'Paused.'],
        stopped: ['Pause', '', 'New requests are held again, instead of being answered with 503.', 'Paused.'],
    },
    disable: {
        paused: ['Resume', '', 'All held requests go on to the app, in the order in which they came.', 'Resumed.'],
        draining: ['Change the pace of', '’s drain', 'All requests that are still held are released at this pace.', 'Changed.'],
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
