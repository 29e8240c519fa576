// What the pages can do without: they work when no script runs.
"use strict";

// A form that asks before it does what cannot be undone.
document.addEventListener("submit", (event) => {
	const question = event.target.dataset.ask;
	if (question && !window.confirm(question)) event.preventDefault();
});

// A bar that follows work under way on the server, by an address that says how
// far it is: {"done": 3, "total": 10, "ended": false}.
for (const bar of document.querySelectorAll("progress[data-follow]")) {
	const said = document.getElementById(bar.dataset.says);
	const ask = async () => {
		const answer = await fetch(bar.dataset.follow);
		if (!answer.ok) return;
		const at = await answer.json();
		bar.max = Math.max(at.total, 1);
		bar.value = at.done;
		if (said) said.textContent = at.text;
		if (at.ended) window.location.reload();
		else window.setTimeout(ask, 300);
	};
	ask();
}
