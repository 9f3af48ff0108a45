package structs

// AbsentListResponse answers for a list of the wider product that has nothing in it here, such as jobs.
type AbsentListResponse struct {
	Items []Raw
	QueryMeta
}
