package b2bua
