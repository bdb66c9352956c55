// Polling.

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
