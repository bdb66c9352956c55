// The dialogs.

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
    const held = card.app.held === 1 ? '1 held request' : `${count(card.app.held)} held requests`;
    write(find('.effect', dialog), `Are you sure? This answers ${held} with 503, and every new request too.`);
    find('.main', dialog).replaceChildren('Yes, stop ', element('bdi', nameOf(card.app)));
}

function showProgress({ dialog, request, card }) {
    const wait = request?.wait;
    const elapsed = wait && duration((performance.now() - request.began) / 1000);
    find('fieldset', dialog).disabled = Boolean(request);
    find('.main', dialog).ariaDisabled = String(Boolean(request));
    write(find('.cancel', dialog), wait ? 'Cancel and roll back' : 'Cancel');
    write(find('.progress', dialog), wait ? `Requests are held. Waiting until the app is quiet, at most ${wait}.` : '');
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
            .catch(() => { throw new Error('nginx cannot be reached. Perhaps it has carried out this command already.'); });
        if (answer.status !== 200 && answer.status !== 304) throw new Error(await explain(answer));
        const now = answer.status === 200 ? await answer.json() : { changed: false };
        if (now.state) card.told = asSet(now);
        const quiet = wait ? ' The app is quiet.' : '';
        card.say(now.changed ? `${done}${quiet}` : 'Nothing was changed: the app was already in this state, or has a later end.');
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
