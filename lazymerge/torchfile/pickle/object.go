package pickle

// stepObject does the instructions that name classes and functions and that call them,
// or would.
func (d *decoder) stepObject(op byte) (bool, error) {
	switch op {
	case opGlobal:
		g, err := d.named()
		return true, d.pushed(g, err)
	case opStackGlobal:
		return true, d.stackGlobal()
	case opExt1, opExt2, opExt4:
		code, err := d.number(1 << (op - opExt1))
		if err != nil {
			return true, err
		}
		return true, d.push(Global{Module: "copyreg extension", Name: shorten(parseCode(code))})
	case opPersID:
		id, err := d.line()
		return true, d.persistent(id, err)
	case opBinPersID:
		id, err := d.pop()
		return true, d.persistent(id, err)
	case opReduce, opNewObj, opNewObjEx, opInst, opObj:
		return true, d.stepCall(op)
	case opBuild:
		return true, d.build()
	}
	return false, nil
}

// named reads a module and a name, a line each.
func (d *decoder) named() (Global, error) {
	module, err := d.line()
	if err != nil {
		return Global{}, err
	}
	name, err := d.line()
	return Global{Module: module, Name: name}, firstError(err, d.spend(slotCost))
}

func (d *decoder) stackGlobal() error {
	names, err := d.popN(2)
	if err != nil {
		return err
	}
	module, ok1 := names[0].(string)
	name, ok2 := names[1].(string)
	if !ok1 || !ok2 {
		return refuse("a name that is %s and %s", kindOf(names[0]), kindOf(names[1]))
	}
	return d.pushed(Global{Module: module, Name: name}, d.spend(slotCost))
}

func (d *decoder) persistent(id any, err error) error {
	if err != nil {
		return err
	}
	if d.o.PersistentID == nil {
		return refuse("a persistent id, which means nothing here")
	}
	v, err := d.o.PersistentID(id)
	if err != nil {
		return &refusal{reason: "persistent id", err: err}
	}
	return d.pushed(v, d.spend(objectCost))
}

// stepCall records a call.
func (d *decoder) stepCall(op byte) error {
	switch op {
	case opInst:
		g, err := d.named()
		if err != nil {
			return err
		}
		items, err := d.popMark()
		if err != nil {
			return err
		}
		return d.callWith(g, items)
	case opObj:
		items, err := d.popMark()
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return refuse("a call of nothing")
		}
		return d.callWith(items[0], items[1:])
	case opNewObjEx:
		parts, err := d.popN(3)
		if err != nil {
			return err
		}
		kwargs, ok := parts[2].(*Dict)
		if !ok {
			return refuse("a call with keywords that are %s", kindOf(parts[2]))
		}
		return d.call(parts[0], parts[1], kwargs)
	}
	parts, err := d.popN(2)
	if err != nil {
		return err
	}
	return d.call(parts[0], parts[1], nil)
}

func (d *decoder) callWith(f any, items []any) error {
	args, err := d.tuple(items)
	if err != nil {
		return err
	}
	return d.call(f, args, nil)
}

// call pushes what a call would give: a value when the function is known, else an
// Object.
func (d *decoder) call(f, arguments any, kwargs *Dict) error {
	args, ok := arguments.(Tuple)
	if !ok {
		return refuse("a call with %s for its arguments", kindOf(arguments))
	}
	if err := d.spend(objectCost); err != nil {
		return err
	}
	g, ok := f.(Global)
	if !ok {
		return d.push(&Object{Class: unnamed, Args: Tuple{f, args}, Kwargs: kwargs})
	}
	if kwargs.Len() > 0 {
		return d.push(&Object{Class: g, Args: args, Kwargs: kwargs})
	}
	if v, ok, err := d.construct(g, args); ok || err != nil {
		return d.pushed(v, err)
	}
	if d.o.Reduce != nil {
		v, ok, err := d.o.Reduce(g, args)
		if err != nil {
			return &refusal{reason: "call of " + shorten(g.String()), err: err}
		}
		if ok {
			return d.push(v)
		}
	}
	return d.push(&Object{Class: g, Args: args})
}

// build is __setstate__. What is no Object has no use for a state: a torch state_dict
// has its modules' versions there.
func (d *decoder) build() error {
	state, err := d.pop()
	if err != nil {
		return err
	}
	target, err := d.top()
	if err != nil {
		return err
	}
	if o, ok := target.(*Object); ok {
		o.State = state
	}
	return nil
}
