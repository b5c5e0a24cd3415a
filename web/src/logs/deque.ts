// A list that grows and shrinks at both ends in constant time; index 0 is the oldest.

export class Deque<T> {
  #slots: (T | undefined)[] = new Array(1_024);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)];
  }

  #set(index: number, value: T): void {
    this.#slots[(this.#head + index) & (this.#slots.length - 1)] = value;
  }

  #makeRoom(): void {
    if (this.#length < this.#slots.length) return;
    const slots: (T | undefined)[] = new Array(this.#slots.length * 2);
    for (let index = 0; index < this.#length; index += 1) slots[index] = this.get(index);
    this.#slots = slots;
    this.#head = 0;
  }

  push(value: T): void {
    this.#makeRoom();
    this.#length += 1;
    this.#set(this.#length - 1, value);
  }

  unshift(value: T): void {
    this.#makeRoom();
    this.#head = (this.#head - 1 + this.#slots.length) & (this.#slots.length - 1);
    this.#length += 1;
    this.#set(0, value);
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const value = this.get(0);
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    return value;
  }

  /** Put `value` before what stands at `index`; costs as many steps as there are newer entries. */
  insert(index: number, value: T): void {
    this.push(value);
    for (let at = this.#length - 1; at > index; at -= 1) this.#set(at, this.get(at - 1) as T);
    this.#set(index, value);
  }

  replace(index: number, value: T): void {
    if (index >= 0 && index < this.#length) this.#set(index, value);
  }

  clear(): void {
    this.#slots = new Array(1_024);
    this.#head = 0;
    this.#length = 0;
  }

  toArray(): T[] {
    return Array.from({ length: this.#length }, (_, index) => this.get(index) as T);
  }
}
