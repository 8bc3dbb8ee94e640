module lorafs/lazymerge/kernel/_asm

go 1.26.0
