// localStorage and sessionStorage, or what stands in for them where the browser forbids them: then
// all works, and nothing outlives a reload.

class Memory {
	getItem(name) {
		return Object.hasOwn(this, name) ? this[name] : null;
	}

	setItem(name, value) {
		this[name] = value;
	}

	removeItem(name) {
		delete this[name];
	}
}

function open(name) {
	try {
		window[name].getItem("");
		return window[name];
	} catch {
		return new Memory();
	}
}

export const local = open("localStorage");
export const session = open("sessionStorage");
