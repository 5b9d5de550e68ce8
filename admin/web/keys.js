// The keys that work everywhere: / to search, ? for help, j and k through the list of the view.

const $ = (id) => document.getElementById(id);

export function keys() {
  $('help').addEventListener('click', () => $('keys').showModal());
  addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && e.target.matches('.find input')) e.target.blur();
    if (e.ctrlKey || e.altKey || e.metaKey || e.target.closest('input, select, textarea, dialog[open]')) return;
    if (e.key === '/') document.querySelector('.find input').focus();
    else if (e.key === '?') $('keys').showModal();
    else if (e.key === 'j' || e.key === 'k') move(e.key === 'j' ? 1 : -1);
    else return;
    e.preventDefault();
  });
}

// move goes on in the messages of a call, the live calls or the finished ones: the first of these that the view has.
function move(by) {
  const list = document.querySelector('.messages') ?? document.querySelector('.vtable .scroll');
  if (list) {
    const at = list.classList.contains('messages') ? list.querySelector('[tabindex="0"]') : list;
    if (!at) return;
    const there = document.activeElement === at || at === list;
    at.focus({ preventScroll: at === list });
    if (there) at.dispatchEvent(new KeyboardEvent('keydown', { key: by > 0 ? 'ArrowDown' : 'ArrowUp', bubbles: true, cancelable: true }));
    return;
  }
  const links = [...document.querySelectorAll('.records tbody th a')];
  const next = links[Math.min(Math.max(links.indexOf(document.activeElement) + by, 0), links.length - 1)];
  next?.focus();
}
